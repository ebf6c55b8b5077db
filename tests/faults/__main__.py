"""``make faults ROUNDS=n``: the long campaign, on a stack of its own; prints seeds and what was found.

Upstream: the command line.
Downstream: a table for people and one line of JSON; the exit code is 1 when anything was found.
Guarantee: a round can be played again by its seed; the ledger and the stack's logs stay in the folder.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import httpx2
from rich.console import Console
from rich.progress import track

from infra.runtime.fail_points import FROM_FILE
from tests.faults import big_traces
from tests.faults.campaign import Fault, Round, World, play
from tests.faults.ledger import Ledger
from tests.faults.oracle import state_findings
from tests.faults.storm import play_storm
from tests.integration.doors import Doors
from tests.stack import QUICKER, ROOT, running_stack, settings_of

PORT_BASE = 4920
FOLDER = ".clawtrace-faults"
NUM_TENANTS = 3
# A round whose seed is a multiple of this has Postgres away for two minutes besides.
LONG_EVERY = 20
LONG_HOLD = Fault("postgres", "hold", after_deliveries=20, held_s=120)
FAIL_POINT_FILE = ROOT / FOLDER / "fail-point"
HARDER = {
    **QUICKER,
    # Upkeep in every round: optimize and expire come amid commits.
    "CLAWTRACE_UPKEEP_OPTIMIZE_SECONDS": "7",
    "CLAWTRACE_UPKEEP_EXPIRE_SECONDS": "5",
    "CLAWTRACE_UPKEEP_SNAPSHOT_RETENTION": "1m",
    "CLAWTRACE_FAIL_POINT": f"{FROM_FILE}{FAIL_POINT_FILE}",
}


def main() -> int:
    """Play the rounds; 0 when every one is clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Kill parts of the stack, then count.")
    parser.add_argument("--rounds", type=int, default=10, help="How many rounds.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="Seed of the first round; the next is +1.")
    parser.add_argument("--runs", type=int, default=40, help="Runs that come in during a round.")
    parser.add_argument("--faults", type=int, default=6, help="Kills and holds during a round.")
    parser.add_argument("--only-rounds", action="store_true", help="No storm of stitchers, no big traces.")
    wanted = parser.parse_args()
    console = Console(stderr=True)
    rounds: list[Round] = []
    with (
        running_stack(FOLDER, PORT_BASE, **HARDER) as environment,
        httpx2.Client(timeout=60, trust_env=False) as client,
    ):
        home = settings_of(environment).home
        for number in track(range(wanted.rounds), "Rounds", console=console):
            seed = wanted.seed + number
            # Tenants of its own for each round: what is counted is what this round sent.
            tenants = tuple(f"faults{seed}t{rank}" for rank in range(NUM_TENANTS))
            ledger = Ledger(home / f"ledger-{seed}.sqlite")
            world = World.of(Doors(settings_of(environment), client), ledger, tenants, FAIL_POINT_FILE)
            more = [LONG_HOLD] if seed % LONG_EVERY == 0 else []
            rounds.append(play(world, seed, wanted.runs, wanted.faults, more))
            ledger.close()
            last = rounds[-1]
            verdict = "clean" if not last.findings else "; ".join(last.findings)
            console.print(
                f"seed {seed}: {last.num_events:,} events, {last.took_s:.0f} s, {', '.join(last.faults)}: {verdict}"
            )
        if findings := state_findings(Doors(settings_of(environment), client)):
            console.print("; ".join(findings))
            rounds.append(Round(wanted.seed, findings=findings))
        if not wanted.only_rounds:
            with tempfile.TemporaryDirectory() as folder:
                moves, findings = play_storm(settings_of(environment).kafka_bootstrap, wanted.seed, 20, Path(folder))
            console.print(f"storm {wanted.seed}: {', '.join(moves)}: {'; '.join(findings) or 'clean'}")
            rounds.append(Round(wanted.seed, faults=moves, findings=findings))
    if not wanted.only_rounds:
        findings = big_traces.run_full_sizes(console.print)
        rounds.append(Round(wanted.seed, findings=findings))
    num_events = sum(one.num_events for one in rounds)
    num_faults = sum(len(one.faults) for one in rounds)
    bad = [one for one in rounds if one.findings]
    console.print(f"{len(rounds)} rounds, {num_events:,} events, {num_faults} faults: {len(bad)} rounds with findings")
    print(json.dumps({"rounds": [asdict(one) for one in rounds]}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
