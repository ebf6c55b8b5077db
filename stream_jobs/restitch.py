"""The door for rebuilding: what the stitcher makes of records, for whoever stores it.

Upstream: `clawtrace lake rebuild`.
Downstream: the routine and the core of the stitcher, with its prices, its rules, and what tenants have set of them.
Guarantee: nothing is sent and nothing is kept; topics are named as in their contracts. Prices and rules are those of
now: where they have changed, what is made again differs in cost and alerts as a replay of the topic would.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stream_jobs.processors.again import Again
from stream_jobs.processors.compose import FileCore
from stream_jobs.processors.topology import Topology
from stream_jobs.rules.reader import RuleRowsReader
from stream_jobs.settings import StitcherSettings

__all__ = ["Again", "StitcherSettings", "open_again"]


@contextmanager
def open_again(settings: StitcherSettings) -> Iterator[Again]:
    """Open the routine with the stack's files and what tenants have set."""
    with TemporaryDirectory(prefix="clawtrace-again-") as folder:
        copy_file = Path(folder) / "rule-settings.json"
        with RuleRowsReader(settings, copy_file) as rows:
            core = FileCore(settings, rows)
            with Again(core, Topology.with_prefix(""), settings.log_generation) as again:
                yield again
