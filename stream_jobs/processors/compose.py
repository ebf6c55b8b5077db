"""Joins the pure core, its files, what tenants have set, and the process.

Upstream: settings.
Downstream: ``runner``.
Guarantee: the core is given the newest good prices and rules with each record. These are no events: a record that is
worked on again is judged by those of that moment (``stream_jobs.rules.reader``).
"""

import structlog

from producers.contracts import reprice
from producers.contracts.event import EventBatch
from stream_jobs import metrics
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleRow
from stream_jobs.core.stitch import RuleBook, StitchResult, read_rules, stitch_batch, tick_agent
from stream_jobs.processors.config_files import ConfigFile
from stream_jobs.processors.erased import ErasedReader, without_erased
from stream_jobs.processors.runner import exit_code_of, run_stitcher
from stream_jobs.processors.state import PartitionState
from stream_jobs.rules.reader import RuleRowsReader
from stream_jobs.settings import StitcherSettings

_log = structlog.get_logger(__name__)


class Rules:
    """The rules' file with what tenants have set over it."""

    def __init__(self, settings: StitcherSettings, rows: RuleRowsReader) -> None:
        self._file = ConfigFile(settings.rules_file, "rules", read_rules)
        self._reader = rows
        self._of: tuple[RuleBook, tuple[RuleRow, ...]] | None = None
        self._book = self._file.value

    @property
    def value(self) -> RuleBook:
        """The newest book; made anew only when the file or a row has changed."""
        of = (self._file.value, self._reader.rows)
        if self._of is None or of[0] is not self._of[0] or of[1] is not self._of[1]:
            self._of = of
            self._book, refused = of[0].with_rows(of[1])
            metrics.RULE_SETTINGS_REFUSED.set(len(refused))
            for reason in refused:
                _log.error("rule_settings_refused", reason=reason, in_force="the layer above")
        return self._book


class FileCore:
    """The core with its prices and rules; without ``erased`` it says everything."""

    def __init__(self, settings: StitcherSettings, rows: RuleRowsReader, erased: ErasedReader | None = None) -> None:
        self._erased = erased
        self._prices = ConfigFile(settings.prices_file, "prices", PriceBook.from_toml)
        self._rules = Rules(settings, rows)

    def stitch(self, state: PartitionState, batch: EventBatch, rev: int, /) -> StitchResult:
        """Apply a batch of events."""
        if any(event.hook == reprice.HOOK for event in batch.events):
            # Who asks for it has just changed the prices; by those of two seconds ago nothing would change.
            self._prices.look()
        result = stitch_batch(state, batch, rev, self._prices.value, self._rules.value)
        return self._told(batch.tenant_id, batch.agent_id, result)

    def tick(
        self, state: PartitionState, tenant_id: str, agent_id: str, at_us: int, rev: int, is_minute: bool, /
    ) -> StitchResult:
        """Let time pass for one agent."""
        prices, rules = self._prices.value, self._rules.value
        result = tick_agent(state, tenant_id, agent_id, at_us, rev, prices, rules, with_fact=is_minute)
        return self._told(tenant_id, agent_id, result)

    def _told(self, tenant_id: str, agent_id: str, result: StitchResult) -> StitchResult:
        if self._erased is None:
            return result
        return without_erased(self._erased.stones, tenant_id, agent_id, result)


def run(settings: StitcherSettings) -> int:
    """Run the stitcher until it is told to stop; return the exit code."""
    with (
        RuleRowsReader(settings, settings.stitcher_folder / "rule-settings.json") as rows,
        ErasedReader(settings) as erased,
    ):
        return exit_code_of(lambda: run_stitcher(settings, FileCore(settings, rows, erased)))
