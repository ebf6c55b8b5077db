"""``make bench``: what the stack does a second, how long it takes, what it costs, against what it stands on.

Upstream: one module a part, each told in its docstring; a fresh stack on ports of its own, with all rules on.
Downstream: a table for people and one line of JSON. ``python -m tests.bench gateway sink`` measures only these.
Guarantee: every figure comes with a ledger check; a part whose ledger does not balance is printed as failed, and the
exit code says so. A goal that is missed is printed as missed and is no failure: machines differ.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence

import structlog
from rich.console import Console
from rich.table import Table

from tests.bench import (
    footprint,
    gateway,
    latency,
    memory,
    pipeline,
    recovery,
    redundancy,
    sink,
    stitch,
    views,
)
from tests.bench.harness import Part
from tests.bench.world import World, machine, running_world

# In this order: an idle stack is measured before anything was sent, and a killed one last.
PARTS: dict[str, Callable[[World], Part]] = {
    "footprint": footprint.measure,
    "gateway": gateway.measure,
    "sink": sink.measure,
    "pipeline": pipeline.measure,
    "alerts": latency.measure_alerts,
    "rows": latency.measure_rows,
    "views": views.measure,
    "recovery": recovery.measure,
    "stitch": stitch.measure_part,
    "redundancy": redundancy.measure_part,
    "memory": memory.measure,
}
PLAIN_WIDTH = 120


def print_part(part: Part, console: Console) -> None:
    """Print the figures of a part and its ledger."""
    table = Table(title=f"{part.name} (load {part.load_average})", title_justify="left")
    for column in ("figure", "value", "goal", "spread"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for figure in part.figures:
        table.add_row(figure.name, figure.text, figure.goal_text, figure.spread_text)
    console.print(table)
    for check in part.ledger:
        console.print(f"Ledger, {check}")


def wanted_parts(words: Sequence[str]) -> list[str]:
    """Parts that the command line names, in our order; all when it names none."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    # No choices: with them argparse of Python 3.11 refuses an empty list.
    parser.add_argument("parts", nargs="*", help=f"all by default: {', '.join(PARTS)}")
    named = parser.parse_args(words).parts
    if unknown := set(named) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return [part for part in PARTS if not named or part in named]


def main() -> int:
    """Run the parts on a fresh stack; 0 when every ledger balances."""
    wanted = wanted_parts(sys.argv[1:])
    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    console.print(machine())
    # Parts that run in this process would tell each commit.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parts = []
    with running_world() as world:
        for name in wanted:
            started_s = time.monotonic()
            with console.status(f"{name} …"):
                part = PARTS[name](world)
            part.details["took_s"] = round(time.monotonic() - started_s)
            parts.append(part)
            print_part(part, console)
    result = {"machine": machine(), "load_average": os.getloadavg()[0]} | {part.name: part.as_json() for part in parts}
    print(json.dumps(result))
    return 0 if all(part.is_good for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main())
