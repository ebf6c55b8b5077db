"""Tries rules on captured and made-up events, and says what the stitcher did with the same records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from producers.contracts.event import Event, EventBatch, encode_event_batch, event_id_of, make_tick
from stream_jobs.contracts.alert import Alert, AlertBatch, AlertRule
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook
from stream_jobs.core.stitch import read_rules
from stream_jobs.processors.again import Again
from stream_jobs.processors.backtest import TICK_US, Backtest, BacktestOrder, BacktestResult, BookCore
from stream_jobs.processors.topology import Topology
from tests.captures import ROOT
from tests.unit.stream_jobs.core.stitching import batch_of, events_of, lines_of

PRICES = (ROOT / "producers/replay/captures/prices.toml").read_text() + (
    '[[price]]\nprovider = "fake"\nmodel = "sim-think"\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'
)
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
TENANT = "acme01"


def batches_of(scenarios: Iterable[str], *, agent_id: str = "box-1", size: int = 7) -> list[EventBatch]:
    """Captures one after the other as one agent sent them: each batch is received when its last event has happened."""
    batches: list[EventBatch] = []
    for scenario in scenarios:
        spool_id = f"{agent_id}-{scenario}"
        events = [
            msgspec.structs.replace(event, seq=seq, event_id=event_id_of(spool_id, seq))
            for seq, event in enumerate(events_of(lines_of(scenario)))
        ]
        batches += batches_of_events(events, agent_id=agent_id, spool_id=spool_id, size=size)
    return sorted(batches, key=lambda it: (it.received_at_us, it.agent_id, it.spool_id))


def batches_of_events(
    events: Sequence[Event], *, agent_id: str = "box-1", spool_id: str = "spool", size: int = 7
) -> list[EventBatch]:
    """Cut events into batches."""
    parts = [events[start : start + size] for start in range(0, len(events), size)]
    return [
        msgspec.structs.replace(batch_of(part, agent_id, max(event.at_us for event in part) + 1), spool_id=spool_id)
        for part in parts
    ]


def order(rule: AlertRule, batches: Sequence[EventBatch], *, after_us: int = HOUR_US, **changes: Any) -> BacktestOrder:
    """An order over all of the batches, until some time after the last."""
    found = BacktestOrder(
        tenant_id=TENANT,
        rule=rule,
        since_us=0,
        until_us=batches[-1].received_at_us + after_us,
        prices_toml=PRICES,
    )
    return msgspec.structs.replace(found, **changes)


def tried(wanted: BacktestOrder, batches: Iterable[EventBatch]) -> BacktestResult:
    """Try a rule."""
    with Backtest.open(wanted) as backtest:
        for batch in batches:
            backtest.take(batch)
        return backtest.finish()


@dataclass
class Live:
    """The stitcher as it ran: with every tick, one each ten seconds, at a phase of its own."""

    rules: RuleBook
    phase_us: int = 0
    alerts: list[Alert] = field(default_factory=list)

    def run(self, batches: Sequence[EventBatch], until_us: int) -> "Live":
        """Work on the batches with all ticks between them, as on a topic."""
        core = BookCore(PriceBook.from_toml(PRICES), self.rules)
        # The gateway ticked long before the agent said anything.
        start_us = batches[0].received_at_us // TICK_US * TICK_US - MINUTE_US + self.phase_us
        records = [(batch.received_at_us, 1, batch) for batch in batches]
        records += [(at_us, 0, make_tick(at_us)) for at_us in range(start_us, until_us + 1, TICK_US)]
        records.sort(key=lambda it: it[:2])
        alerts_topic = Topology.with_prefix("").alerts
        with Again(core, Topology.with_prefix(""), 0) as again:
            for offset, (_, _, batch) in enumerate(records):
                for topic, value in again.work_on(0, offset, encode_event_batch(batch)):
                    if topic == alerts_topic:
                        self.alerts += msgspec.json.decode(value, type=AlertBatch).alerts
        return self

    def newest(self, rule: str) -> dict[tuple[str, str], tuple[str, int]]:
        """State and instant of each alert of a rule, by agent and id."""
        return {(it.agent_id, it.alert_id): (it.state, it.at_us) for it in self.alerts if it.rule == rule}


def newest_of(result: BacktestResult) -> dict[tuple[str, str], tuple[str, int]]:
    """The same of a backtest."""
    return {(it.agent_id, it.alert_id): (it.state, it.at_us) for it in result.alerts}


def rules(text: str = "") -> RuleBook:
    """Rules of a file."""
    return read_rules(text)
