"""A rule tried on stored events: the shipped routine over them, with the rule's settings changed.

Upstream: ``stream_jobs.backtest`` gives batches of events in the order in which the server received them.
Downstream: ``stream_jobs.core.learn.halts`` counts what comes out.
Guarantee: what is asked of events, state and rules is what the stitcher asks: the same preparation, the same core, all
rules. The state lies in files of a folder that is deleted at the end, not in memory. The same batches and the same
order give the same result, to the byte.

Ticks leave no events, so they are made: as the gateway does, one each ten seconds of the server's clock, on whole ten
seconds, between the instants at which batches were received and from the last one to the end of the window. A tick that
would visit nobody is left out, since it changes nothing. So an alert that time alone raises may bear another instant
than it had, by a minute at most, since rules are told the time once a minute; one that an event raises bears its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
from rocksdict import Options, Rdict, WriteOptions

from producers.contracts.event import EventBatch, encode_event_batch, make_tick
from producers.contracts.guard import GuardMessage, Verdict
from stream_jobs.contracts.alert import AlertBatch, AlertRule, AlertState
from stream_jobs.contracts.spend import SpendBatch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook, RuleRow
from stream_jobs.core.learn.halts import Firing, HaltLedger, RunSpan, StoppedRun
from stream_jobs.core.stitch import StitchResult, read_rules, stitch_batch, tick_agent
from stream_jobs.processors.again import Again
from stream_jobs.processors.due import US_PER_MINUTE
from stream_jobs.processors.state import FileStore, PartitionState
from stream_jobs.processors.topology import Topology

TICK_US: Final = 10_000_000
_PARTITION: Final = 0
_MEMTABLE_BYTES: Final = 8 * 1024 * 1024


class BacktestOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried. Instants are UTC microseconds of the server's clock.

    ``rows`` is what the tenant has set of its rules; ``settings`` lies over that, for ``agent_id`` or for all.
    """

    tenant_id: str
    rule: AlertRule
    settings: dict[str, Any] = {}
    agent_id: str | None = None
    since_us: int
    until_us: int
    prices_toml: str = ""
    rules_toml: str = ""
    rows: list[RuleRow] = []


class AlertNow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest state of one alert."""

    alert_id: str
    agent_id: str
    state: AlertState
    at_us: int


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came out: all that fired, all that would have been stopped, and how every alert stands."""

    settings: dict[str, Any]
    num_events: int
    num_ticks: int
    firings: list[Firing]
    stopped_runs: list[StoppedRun]
    alerts: list[AlertNow]


class _Spans(msgspec.Struct):
    agent_id: str
    spans: list[RunSpan]


_decode_alerts = msgspec.json.Decoder(AlertBatch).decode
_decode_guard = msgspec.json.Decoder(GuardMessage).decode
_decode_spends = msgspec.json.Decoder(SpendBatch).decode
_decode_spans = msgspec.json.Decoder(_Spans).decode


def rules_to_try(order: BacktestOrder) -> tuple[RuleBook, Mapping[str, Any]]:
    """Return the rules as they would hold, and what would hold of the one that is tried.

    Whatever the rule tells the agent now, here it tells it to stop: its verdict then says what it covers.

    Raises:
        ValueError: a setting cannot be; the text names it.
    """
    book, _ = read_rules(order.rules_toml).with_rows(order.rows)
    if order.settings:
        book = _laid_over(book, order, order.agent_id, order.settings)
    tried = book.of_agent(order.tenant_id, order.agent_id or "")[order.rule].model_dump(mode="json")
    for agent_id in {None, order.agent_id, *book.overrides(order.rule, order.tenant_id)}:
        book = _laid_over(book, order, agent_id, {"action": "abort"})
    return book, tried


def _laid_over(book: RuleBook, order: BacktestOrder, agent_id: str | None, settings: dict[str, Any]) -> RuleBook:
    changed, refused = book.with_rows([RuleRow(order.tenant_id, agent_id, order.rule, settings)])
    if refused:
        raise ValueError(refused[0])
    return changed


class BookCore:
    """The core with prices and rules that stay as they are."""

    def __init__(self, prices: PriceBook, rules: RuleBook) -> None:
        self._prices, self._rules = prices, rules

    def stitch(self, state: PartitionState, batch: EventBatch, rev: int, /) -> StitchResult:
        """Apply a batch of events."""
        return stitch_batch(state, batch, rev, self._prices, self._rules)

    def tick(
        self, state: PartitionState, tenant_id: str, agent_id: str, at_us: int, rev: int, is_minute: bool, /
    ) -> StitchResult:
        """Let time pass for one agent."""
        return tick_agent(state, tenant_id, agent_id, at_us, rev, self._prices, self._rules, with_fact=is_minute)


def _open_files(folder: Path) -> Rdict:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    files = Rdict(str(folder), options)
    # They are gone with the process; nothing is read from them after a crash.
    no_log: Any = WriteOptions()
    no_log.disable_wal = True
    files.set_write_options(no_log)
    return files


class Backtest:
    """Takes batches in order; ``open`` makes one, ``finish`` gives what came out."""

    def __init__(self, order: BacktestOrder, settings: Mapping[str, Any], again: Again) -> None:
        self._order, self._settings, self._again = order, settings, again
        self._topology = Topology.with_prefix("")
        self._ledger = HaltLedger(order.rule, order.since_us)
        self._offset = 0
        self._num_events = self._num_ticks = 0
        # The server's clock: when the last batch was received, or the last tick came.
        self._now_us: int | None = None
        self._last_tick_us = 0
        # The clock of each agent: the newest instant that it has told of.
        self._agent_clocks_us: dict[str, int] = {}

    @classmethod
    @contextmanager
    def open(cls, order: BacktestOrder) -> Iterator["Backtest"]:
        """Open one with its folder.

        Raises:
            ValueError: prices, rules or settings cannot be; the text says which.
        """
        rules, settings = rules_to_try(order)
        core = BookCore(PriceBook.from_toml(order.prices_toml), rules)
        with (
            TemporaryDirectory(prefix="clawtrace-backtest-") as folder,
            _open_files(Path(folder) / "state") as files,
            Again(core, Topology.with_prefix(""), 0, lambda: FileStore(files)) as again,
        ):
            yield cls(order, settings, again)

    def take(self, batch: EventBatch) -> None:
        """Work on a batch that was received no earlier than the one before."""
        received_at_us = batch.received_at_us
        if self._now_us is not None:
            self._let_pass(received_at_us - 1)
        # Whether a minute is new depends on the tick before, so the one before the batch is never left out.
        self._tick((received_at_us - 1) // TICK_US * TICK_US)
        clock_us = self._agent_clocks_us.get(batch.agent_id, 0)
        self._agent_clocks_us[batch.agent_id] = max(clock_us, *(event.at_us for event in batch.events))
        self._num_events += len(batch.events)
        self._work_on(batch, received_at_us)

    def finish(self) -> BacktestResult:
        """Let time pass to the end of the window, and say what came out."""
        if self._now_us is not None:
            self._let_pass(self._order.until_us)
        ledger = self._ledger
        return BacktestResult(
            settings=dict(self._settings),
            num_events=self._num_events,
            num_ticks=self._num_ticks,
            firings=ledger.firings,
            stopped_runs=ledger.stopped_runs,
            alerts=[
                AlertNow(alert_id=it.alert_id, agent_id=it.agent_id, state=it.state, at_us=it.at_us)
                for it in ledger.newest
            ],
        )

    def _let_pass(self, until_us: int) -> None:
        while self._now_us is not None:
            wanted_us = self._again.next_visit_us(_PARTITION, self._now_us)
            if wanted_us is None:
                return
            tick_us = max(-(-wanted_us // TICK_US), self._now_us // TICK_US + 1) * TICK_US
            if tick_us > until_us:
                return
            before_us = tick_us - TICK_US
            if self._last_tick_us // US_PER_MINUTE < before_us // US_PER_MINUTE == tick_us // US_PER_MINUTE:
                # The first tick of its minute visits nobody, and this one is not the first.
                self._tick(before_us)
            self._tick(tick_us)

    def _tick(self, tick_us: int) -> None:
        if tick_us > self._last_tick_us:
            self._num_ticks += 1
            self._last_tick_us = tick_us
            self._work_on(make_tick(tick_us), tick_us)

    def _work_on(self, batch: EventBatch, now_us: int) -> None:
        self._now_us = now_us
        outputs = self._again.work_on(_PARTITION, self._offset, encode_event_batch(batch))
        self._offset += 1
        topology, verdicts = self._topology, dict[str, list[Verdict]]()
        # Where runs stand first: an alert may be about one that this very record has begun.
        for topic, value in outputs:
            if topic == topology.spans:
                seen = _decode_spans(value)
                self._ledger.take_spans(seen.agent_id, seen.spans, now_us)
        for topic, value in outputs:
            if topic == topology.guard:
                message = _decode_guard(value)
                if isinstance(message.body, Verdict):
                    verdicts.setdefault(message.agent_id, []).append(message.body)
            elif topic == topology.alerts:
                told = _decode_alerts(value)
                clock_us = self._agent_clocks_us.get(told.agent_id, now_us)
                self._ledger.take_alerts(told.agent_id, told.alerts, verdicts.get(told.agent_id, ()), clock_us)
            elif topic == topology.spend:
                spent = _decode_spends(value)
                self._ledger.take_spends(spent.agent_id, spent.spends)
