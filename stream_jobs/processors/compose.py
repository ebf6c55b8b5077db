"""Joins the pure core, its files and the process.

Upstream: settings.
Downstream: ``runner``.
Guarantee: the core is given the newest good prices and rules with each record.
"""

from producers.contracts.event import EventBatch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import StitchResult, read_rules, stitch_batch
from stream_jobs.processors.config_files import ConfigFile
from stream_jobs.processors.runner import exit_code_of, run_stitcher
from stream_jobs.processors.shell import Core
from stream_jobs.processors.state import PartitionState
from stream_jobs.settings import StitcherSettings


def make_core(settings: StitcherSettings) -> Core:
    """Bind the core to the files of prices and rules."""
    prices = ConfigFile(settings.prices_file, "prices", PriceBook.from_toml)
    rules = ConfigFile(settings.rules_file, "rules", read_rules)

    def core(state: PartitionState, batch: EventBatch, rev: int) -> StitchResult:
        return stitch_batch(state, batch, rev, prices.value, rules.value)

    return core


def run(settings: StitcherSettings) -> int:
    """Run the stitcher until it is told to stop; return the exit code."""
    return exit_code_of(lambda: run_stitcher(settings, make_core(settings)))
