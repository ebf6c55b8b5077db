"""Joins the pure core, its files and the process.

Upstream: settings.
Downstream: ``runner``.
Guarantee: the core is given the newest good prices and rules with each record.
"""

from producers.contracts.event import EventBatch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import StitchResult, read_rules, stitch_batch, tick_agent
from stream_jobs.processors.config_files import ConfigFile
from stream_jobs.processors.runner import exit_code_of, run_stitcher
from stream_jobs.processors.state import PartitionState
from stream_jobs.settings import StitcherSettings


class FileCore:
    """The core with the files of prices and rules."""

    def __init__(self, settings: StitcherSettings) -> None:
        self._prices = ConfigFile(settings.prices_file, "prices", PriceBook.from_toml)
        self._rules = ConfigFile(settings.rules_file, "rules", read_rules)

    def stitch(self, state: PartitionState, batch: EventBatch, rev: int, /) -> StitchResult:
        """Apply a batch of events."""
        return stitch_batch(state, batch, rev, self._prices.value, self._rules.value)

    def tick(
        self, state: PartitionState, tenant_id: str, agent_id: str, at_us: int, rev: int, is_minute: bool, /
    ) -> StitchResult:
        """Let time pass for one agent."""
        prices, rules = self._prices.value, self._rules.value
        return tick_agent(state, tenant_id, agent_id, at_us, rev, prices, rules, with_fact=is_minute)


def run(settings: StitcherSettings) -> int:
    """Run the stitcher until it is told to stop; return the exit code."""
    return exit_code_of(lambda: run_stitcher(settings, FileCore(settings)))
