"""Drives the stitcher over captured runs, and writes what comes out as a readable tree."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from producers.contracts.event import Event, EventBatch, Source
from producers.contracts.guard import Verdict
from producers.contracts.normalise import normalise_event
from producers.contracts.wire import WireEvent
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.spend import Spend
from stream_jobs.contracts.trace import Trace
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook
from stream_jobs.core.stitch import AgentDue, StitchResult, read_rules, stitch_batch, tick_agent
from tests.captures import AGENT_EVENT_FILES, ROOT, hook_lines

SPOOL_ID = "0b9d1c9e-6f6c-4d86-a1a5-6f0f4b8f7a10"
PRICES = PriceBook.from_toml((ROOT / "producers/replay/captures/prices.toml").read_text())
RULES = read_rules('[run_cost]\nlimit_usd = "5"\n')

_AGENT_EVENT_HOOKS = {"onInternalDiagnosticEvent": "diagnostic", "agentEventSubscription": "agent_event"}


def lines_of(scenario: str, *, with_agent_events: bool = False) -> list[dict[str, Any]]:
    """Return the events of a capture; agent events, if wanted, are put in by time."""
    lines = [(line["tsMs"], line) for line in hook_lines(scenario)]
    if with_agent_events:
        for text in AGENT_EVENT_FILES[scenario].read_text().splitlines():
            line = json.loads(text)
            hook = _AGENT_EVENT_HOOKS.get(line["src"])
            if hook is not None:
                lines.append((line["tsMs"], {"hook": hook, "tsMs": line["tsMs"], "event": line["event"], "ctx": {}}))
        lines.sort(key=lambda it: it[0])
    return [line for _, line in lines]


def make_event(seq: int, hook: str, at_ms: int, event: dict[str, Any], ctx: dict[str, Any]) -> Event:
    """Make an event as the gateway does."""
    wire = WireEvent(
        seq=seq,
        at_us=at_ms * 1_000,
        hook=hook,
        event=msgspec.Raw(json.dumps(event).encode()),
        ctx=msgspec.Raw(json.dumps(ctx).encode()),
    )
    return normalise_event(SPOOL_ID, wire)


def events_of(lines: Iterable[dict[str, Any]], first_seq: int = 0) -> list[Event]:
    """Make the events of captured lines."""
    return [
        make_event(first_seq + number, line["hook"], line["tsMs"], line["event"], line["ctx"])
        for number, line in enumerate(lines)
    ]


def batch_of(events: Sequence[Event], agent_id: str = "box-1", received_at_us: int = 0) -> EventBatch:
    """Wrap events as one record."""
    return EventBatch(
        tenant_id="acme01",
        agent_id=agent_id,
        source=Source(name="test"),
        spool_id=SPOOL_ID,
        received_at_us=received_at_us,
        events=list(events),
    )


@dataclass
class Replay:
    """A store, and the newest revision of everything that was sent."""

    pricer: PriceBook = field(default_factory=lambda: PRICES)
    rules: RuleBook = field(default_factory=lambda: RULES)
    store: dict[bytes, bytes] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    cards: dict[str, Card] = field(default_factory=dict)
    spends: list[Spend] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    next_rev: int = 0
    # The server's clock.
    now_us: int = 0
    due: AgentDue | None = None

    def feed(self, events: Sequence[Event]) -> StitchResult:
        """Stitch one batch, and write and keep what comes out."""
        batch = batch_of(events, received_at_us=self.now_us)
        return self._keep(stitch_batch(self.store, batch, self.next_rev, self.pricer, self.rules))

    def tick(self, at_us: int | None = None) -> StitchResult:
        """Let time pass until an instant; by default nothing passes but the tick."""
        self.now_us = self.now_us if at_us is None else at_us
        return self._keep(
            tick_agent(self.store, "acme01", "box-1", self.now_us, self.next_rev, self.pricer, self.rules)
        )

    def _keep(self, result: StitchResult) -> StitchResult:
        self.next_rev += 1
        self.due = result.due or self.due
        for key, value in result.changes.items():
            if value is None:
                self.store.pop(key, None)
            else:
                self.store[key] = value
        for key, text in result.payloads.items():
            assert self.store.setdefault(key, text) == text, "a payload was written twice"
        assert len({span.span_id for span in result.spans}) == len(result.spans)
        self.spans.update((span.span_id, span) for span in result.spans)
        self.traces.update((trace.trace_id, trace) for trace in result.traces)
        self.alerts += result.alerts
        self.verdicts += result.verdicts
        self.cards.update((card.trace_id, card) for card in result.cards)
        self.spends += result.spends
        self.counts.update(result.counts)
        self.rejects += result.rejects
        return result

    def feed_each(self, events: Sequence[Event], size: int) -> "Replay":
        """Stitch events in batches of one size."""
        for start in range(0, len(events), size):
            self.feed(events[start : start + size])
        return self

    def of_kind(self, kind: str) -> list[Span]:
        """Return the spans of a kind, by start."""
        return sorted((it for it in self.spans.values() if it.kind == kind), key=lambda it: it.started_at_us)


def replay(scenario: str, *, size: int = 7, with_agent_events: bool = False) -> Replay:
    """Stitch a whole capture."""
    return Replay().feed_each(events_of(lines_of(scenario, with_agent_events=with_agent_events)), size)


def render(stitched: Replay) -> str:
    """Write all traces as trees, one span a line, with times relative to the trace."""
    lines: list[str] = []
    for trace in sorted(stitched.traces.values(), key=lambda it: (it.started_at_us, it.trace_id)):
        lines.append(
            f"TRACE {trace.category} {trace.status}{' open' if trace.is_open else ''} {trace.name!r}"
            f" runs={trace.num_runs} calls={trace.num_model_calls} tools={trace.num_tool_calls}"
            f" errors={trace.num_errors} unpriced={trace.num_unpriced_calls} models={','.join(trace.models)}"
        )
        lines.append(
            f"  tokens {trace.input_tokens}/{trace.cache_read_tokens}/{trace.cache_write_tokens}"
            f"/{trace.output_tokens} cost={_usd(trace.cost_usd)} reported={_usd(trace.reported_cost_usd)}"
        )
        spans = [span for span in stitched.spans.values() if span.trace_id == trace.trace_id]
        tops = [span for span in spans if span.parent_span_id is None]
        for span in sorted(tops, key=_by_start):
            _render_span(lines, span, spans, trace.started_at_us, 1)
    return "\n".join(lines) + "\n"


def _by_start(span: Span) -> tuple[int, str]:
    return span.started_at_us, span.span_id


def _usd(amount: object) -> str:
    return "-" if amount is None else f"{amount:.6f}"


def _render_span(lines: list[str], span: Span, spans: list[Span], origin_us: int, depth: int) -> None:
    start_ms = (span.started_at_us - origin_us) // 1_000
    text = f"{'  ' * depth}+{start_ms} {span.name} {span.status}"
    if span.kind == "run":
        text += f" own={span.run_input_tokens}/{span.run_cache_read_tokens}/{span.run_cache_write_tokens}"
        text += f"/{span.run_output_tokens} {_usd(span.run_cost_usd)}"
    if span.kind == "model_call":
        text += f" #{span.attempt} {span.input_tokens}/{span.cache_read_tokens}/{span.cache_write_tokens}"
        text += f"/{span.output_tokens} {span.usage_source} {_usd(span.cost_usd)}"
    if span.exit_code is not None:
        text += f" exit={span.exit_code}"
    if span.flags:
        text += f" flags={','.join(span.flags)}"
    if span.error:
        text += f" error={span.error[:60]!r}"
    lines.append(text)
    for child in sorted((it for it in spans if it.parent_span_id == span.span_id), key=_by_start):
        _render_span(lines, child, spans, origin_us, depth + 1)
