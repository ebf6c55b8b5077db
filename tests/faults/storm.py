"""Stitchers come and go: three processes join, leave, are killed, and held for longer than their session (F15).

Upstream: a seed; the broker of a running stack.
Downstream: ``python -m tests.faults.storm``, and the campaign.
Guarantee: the same seed makes the same records, and chooses the same moves. What comes out is compared, byte for byte,
with what one stitcher makes of the same records that nothing happens to.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

from infra.runtime.settings import StackSettings
from tests.integration.stream_jobs.harness import Install, as_a_reader_sees

NUM_PROCESSES: Final = 3
RECORDS_A_MOVE: Final = 200
MAX_GAP_S: Final = 3.0
HELD_SHARE: Final = 0.4
# The group gives a member up after 10 s; others then have its partitions when it wakes up.
MIN_HELD_S, MAX_HELD_S = 9.0, 16.0
# A session ends after 10 s, and the state of a partition is read back before work goes on.
DRAINED_WITHIN_S: Final = 180.0


def play_storm(bootstrap: str, seed: int, num_moves: int, folder: Path) -> tuple[list[str], list[str]]:
    """Play one storm; return the moves, and what is wrong."""
    chooser = random.Random(f"{seed}/storm")
    calm = Install(bootstrap, f"storm{uuid.uuid4().hex[:8]}-calm.", folder / "calm")
    first = Install(bootstrap, f"storm{uuid.uuid4().hex[:8]}-.", folder / "0")
    others = [first.another(str(number), CLAWTRACE_STITCHER_INSTANCE=str(number)) for number in range(1, NUM_PROCESSES)]
    members = [first, *others]
    num_records = RECORDS_A_MOVE * (num_moves + 1)
    moves: list[str] = []
    try:
        calm.produce_batches(seed, num_records)
        calm.start()
        for member in members:
            member.start()
        for number in range(num_moves):
            since = number * RECORDS_A_MOVE
            first.produce_batches(seed, num_records, since=since, until=since + RECORDS_A_MOVE)
            time.sleep(chooser.uniform(0, MAX_GAP_S))
            moves.append(_move(chooser, members))
        first.produce_batches(seed, num_records, since=num_moves * RECORDS_A_MOVE)
        for member in members:
            _start_again(member)
        began_s = time.monotonic()
        first.wait_all_committed(DRAINED_WITHIN_S)
        moves.append(f"all committed after {time.monotonic() - began_s:.0f} s")
        calm.wait_all_committed(DRAINED_WITHIN_S)
        codes = [member.stop() for member in (*members, calm) if member.process is not None]
        findings = [] if not any(codes) else [f"exit codes {codes}"]
        # A record under another's mark, or with other bytes, fails in here.
        if as_a_reader_sees(first.outputs()) != as_a_reader_sees(calm.outputs()):
            findings.append("outputs differ from those of a calm stitcher")
        if first.state() != calm.state():
            findings.append("the state differs from that of a calm stitcher")
        return moves, findings
    finally:
        for install in (calm, first):
            install.remove()


def _move(chooser: random.Random, members: list[Install]) -> str:
    number = chooser.randrange(len(members))
    member, kill = members[number], chooser.random() < 0.5
    if member.process is None or member.process.poll() is not None:
        _start_again(member)
        return f"{number} joins"
    if chooser.random() < HELD_SHARE:
        held_s = chooser.uniform(MIN_HELD_S, MAX_HELD_S)
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(held_s)
        member.process.send_signal(signal.SIGCONT)
        return f"{number} held {held_s:.0f} s"
    member.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
    member.process.wait(30)
    member.process = None
    return f"{number} {'is killed' if kill else 'leaves'}"


def _start_again(member: Install) -> None:
    """As its supervisor would: one that gave up is started again."""
    if member.process is None or member.process.poll() is not None:
        member.start()


def main() -> int:
    """Play storms; 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.storm", description="Stitchers come and go.")
    parser.add_argument("--rounds", type=int, default=1, help="How many storms.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="Seed of the first; the next is +1.")
    parser.add_argument("--moves", type=int, default=20, help="Joins, leaves and kills of a storm.")
    wanted = parser.parse_args()
    num_bad = 0
    for seed in range(wanted.seed, wanted.seed + wanted.rounds):
        with tempfile.TemporaryDirectory() as name:
            moves, findings = play_storm(StackSettings().kafka_bootstrap, seed, wanted.moves, Path(name))
        num_bad += bool(findings)
        print(f"seed {seed}: {', '.join(moves)}: {'; '.join(findings) or 'clean'}", flush=True)
    return 1 if num_bad else 0


if __name__ == "__main__":
    sys.exit(main())
