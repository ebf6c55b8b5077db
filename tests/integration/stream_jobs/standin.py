"""A small deterministic core: it counts events and ticks. What it sends depends on all that came before, so a lost or
doubled record shows in every later one."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from producers.contracts.event import Event, EventBatch, Source, encode_event_batch, event_id_of
from producers.contracts.guard import Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.spend import Spend
from stream_jobs.contracts.trace import Trace
from stream_jobs.core.stitch import AgentDue
from stream_jobs.processors.state import PartitionState

ALERT_EVERY = 50
DUE_EVERY = 20
FOR_EVER_US = 2**50
TEXT = b"x" * 200
POISON_HOOK = "poison"
REJECTED_HOOK = "rejected"


@dataclass
class Counted:
    """What a stitched record looks like to the shell."""

    changes: dict[bytes, bytes | None] = field(default_factory=dict)
    payloads: dict[bytes, bytes] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)
    spends: list[Spend] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    rejects: list[tuple[str, str]] = field(default_factory=list)
    due: AgentDue | None = None


class CountingCore:
    """Counts; wants to be visited by every minute's first tick, and once more at an instant of its own."""

    def stitch(self, state: PartitionState, batch: EventBatch, rev: int, /) -> Counted:
        """Count the events of a batch."""
        found = _count_events(state, batch, rev)
        total = int(found.changes[f"total|{batch.tenant_id}|{batch.agent_id}".encode()] or 0)
        before = total - len(batch.events) + len(found.rejects)
        if not before or before // DUE_EVERY != total // DUE_EVERY:
            found.due = AgentDue(batch.received_at_us + 15_000_000, FOR_EVER_US)
        return found

    def tick(
        self, state: PartitionState, tenant_id: str, agent_id: str, at_us: int, rev: int, is_minute: bool, /
    ) -> Counted:
        """Count the visits; say when the next is due."""
        found = Counted()
        key = f"ticks|{tenant_id}|{agent_id}".encode()
        count = int(state.get(key) or 0) + 1
        total = int(state.get(f"total|{tenant_id}|{agent_id}".encode()) or 0)
        found.changes[key] = str(count).encode()
        found.due = AgentDue(0, FOR_EVER_US)
        found.traces.append(
            Trace(
                tenant_id=tenant_id, agent_id=agent_id, trace_id=agent_id, trace_date="2026-01-01",
                name=f"{total} at tick {count} {is_minute}", category="work", status="running", started_at_us=at_us,
                rev=rev,
            )
        )  # fmt: skip
        return found


def _count_events(state: PartitionState, batch: EventBatch, rev: int) -> Counted:
    """Count events by agent and by run; one span a run, one trace a record, an alert every 50 events."""
    found = Counted()
    tenant, agent = batch.tenant_id, batch.agent_id
    total_key = f"total|{tenant}|{agent}".encode()
    total = int(state.get(total_key) or 0)
    runs: dict[str, int] = {}
    for event in batch.events:
        if event.hook == POISON_HOOK:
            raise ValueError("poison")
        if event.hook == REJECTED_HOOK:
            found.rejects.append((event.event_id, "not wanted"))
            continue
        run = event.run_id or "none"
        run_key = f"run|{tenant}|{agent}|{run}".encode()
        runs[run] = runs.get(run, int(state.get(run_key) or 0)) + 1
        total += 1
        found.payloads[f"payload|{event.event_id}".encode()] = bytes(event.payload)
        if total % ALERT_EVERY == 0:
            found.alerts.append(
                Alert(
                    tenant_id=tenant, agent_id=agent, alert_id=f"{total:032x}", rule="run_cost", severity="warning",
                    state="warn", message=f"{total} events", at_us=event.at_us, rev=rev,
                )
            )  # fmt: skip
    for run, count in runs.items():
        # A run that reaches ten is closed: its key goes, and its payloads would too.
        found.changes[f"run|{tenant}|{agent}|{run}".encode()] = None if count >= 10 else str(count).encode()
        found.spans.append(
            Span(
                tenant_id=tenant, agent_id=agent, trace_id=run, span_id=run, kind="run", operation_name="invoke_agent",
                name=f"{count} of {total}", status="running", trace_date="2026-01-01", started_at_us=1,
                link_rev=rev, rev=rev,
            )
        )  # fmt: skip
    found.changes[total_key] = str(total).encode()
    found.traces.append(
        Trace(
            tenant_id=tenant, agent_id=agent, trace_id=agent, trace_date="2026-01-01", name=str(total),
            category="work", status="running", started_at_us=1, num_spans=total, rev=rev,
        )
    )  # fmt: skip
    found.counts["events"] = len(batch.events)
    return found


def batch_of(agent: str, first_seq: int, num_events: int, *, hook: str = "llm_output", at_us: int = 1) -> EventBatch:
    """Make a batch; runs change every seven events."""
    return EventBatch(
        tenant_id="stitchtest",
        agent_id=agent,
        source=Source(name="test"),
        spool_id=f"spool-{agent}",
        received_at_us=at_us,
        events=[
            Event(
                seq=seq, event_id=event_id_of(f"spool-{agent}", seq), hook=hook, at_us=1_700_000_000_000_000 + seq,
                run_id=f"run-{seq // 7}", payload=msgspec.Raw(b'{"event":{"n":%d,"text":"%s"},"ctx":{}}' % (seq, TEXT)),
            )
            for seq in range(first_seq, first_seq + num_events)
        ],
    )  # fmt: skip


counting_core = CountingCore()


def value_of(agent: str, first_seq: int, num_events: int, **more: Any) -> bytes:
    """Make the value of a record."""
    return encode_event_batch(batch_of(agent, first_seq, num_events, **more))
