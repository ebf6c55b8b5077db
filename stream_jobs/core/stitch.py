"""Turns a batch of events into changes of state, and spans, traces and alerts to send.

Upstream: one record of ``clawtrace.events.v1``, and the state as it was left by the records before it.
Downstream: ``stream_jobs.processors`` writes the changes and sends the outputs.
Guarantee: pure and deterministic: same state, same batch, same rev, same bytes. Every event counts once, whatever
is sent again; each touched span, trace and alert is in the result once, in its final form.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from producers.contracts.event import Event, EventBatch
from producers.contracts.guard import Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.spend import Spend
from stream_jobs.contracts.trace import Trace
from stream_jobs.core import model_calls, runs, tool_calls, usage_join
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook
from stream_jobs.core.detect.rules import detect, read_rules
from stream_jobs.core.emit import make_span, make_trace, settle_run
from stream_jobs.core.facts import Fact
from stream_jobs.core.hook_payloads import read_diagnostic, read_run_hook
from stream_jobs.core.intervals import add_seq
from stream_jobs.core.keys import payload_ref, spool_ref, trace_ref
from stream_jobs.core.pending import settle_pending
from stream_jobs.core.reprice import on_reprice
from stream_jobs.core.rollup import add_to_trace, is_open
from stream_jobs.core.spend import spends_of
from stream_jobs.core.state import StateReader, TraceState
from stream_jobs.core.tree import relink_runs
from stream_jobs.core.workspace import Workspace

__all__ = ["PriceBook", "RuleBook", "StateReader", "StitchResult", "read_rules", "stitch_batch"]


class StitchResult(msgspec.Struct, kw_only=True):
    """What one batch does. Nothing of it has happened yet: the caller writes and sends."""

    changes: dict[bytes, bytes | None] = {}
    payloads: dict[bytes, bytes] = {}
    spans: list[Span] = []
    traces: list[Trace] = []
    alerts: list[Alert] = []
    verdicts: list[Verdict] = []
    cards: list[Card] = []
    spends: list[Spend] = []
    counts: dict[str, int] = {}
    rejects: list[tuple[str, str]] = []


Handler = Callable[[Workspace, Event], None]


def stitch_batch(state: StateReader, batch: EventBatch, rev: int, pricer: PriceBook, rules: RuleBook) -> StitchResult:
    """Apply a batch to the state; ``rev`` is the offset of the record it came in."""
    ws = Workspace(
        state,
        tenant_id=batch.tenant_id,
        agent_id=batch.agent_id,
        spool_id=batch.spool_id,
        rev=rev,
        received_at_us=batch.received_at_us,
        pricer=pricer,
        rules=rules,
        host_version=batch.source.host_version,
    )
    rejects = _apply_events(ws, batch.events)
    if ws.counts["duplicates"] == len(batch.events):
        return StitchResult(counts=dict(ws.counts))
    relink_runs(ws)
    spends = spends_of(ws)
    traces = _settle(ws, batch)
    detect(ws)
    return StitchResult(
        changes=ws.changes(),
        payloads={ws.key(payload_ref(text_id)): text for text_id, text in ws.texts.items()},
        spans=_spans(ws),
        traces=[make_trace(ws, trace) for trace in traces.values()],
        alerts=list(ws.alerts.values()),
        verdicts=list(ws.verdicts.values()),
        spends=spends,
        counts=dict(ws.counts),
        rejects=rejects,
    )


def _apply_events(ws: Workspace, events: list[Event]) -> list[tuple[str, str]]:
    spool = ws.spool()
    rejects: list[tuple[str, str]] = []
    for event in events:
        if not add_seq(spool.ranges, event.seq):
            ws.counts["duplicates"] += 1
            continue
        handler = _HANDLERS.get(event.hook)
        if handler is None:
            ws.counts["ignored"] += 1
        else:
            try:
                handler(ws, event)
            except ValueError as error:
                ws.counts["bad_payloads"] += 1
                rejects.append((event.event_id, str(error)))
        if spool.pending:
            settle_pending(ws)
        _settle_runs(ws, event.at_us)
        ws.note("event", event.hook, event)
        # After each event, not after the batch: what a rule sees must not depend on how events were cut into batches.
        detect(ws)
    ws.change(spool_ref(ws.spool_id))
    return rejects


def _settle(ws: Workspace, batch: EventBatch) -> dict[str, TraceState]:
    """Bring the sums of the traces up to their spans; return these traces."""
    traces: dict[str, TraceState] = {}
    at_us = max((event.at_us for event in batch.events), default=batch.received_at_us)
    _settle_runs(ws, at_us)
    for node in ws.touched.values():
        before = ws.before.get(node.ref)
        trace = ws.find_trace(node.trace_id) if node.is_span else None
        if trace is None:
            continue
        add_to_trace(trace, node, before)
        if trace.trace_id not in traces:
            traces[trace.trace_id] = trace
            ws.change(trace_ref(trace.trace_id))
    for trace_id, trace in traces.items():
        if not is_open(trace):
            ws.facts.append(Fact("trace_closed", trace_id, at_us))
    return traces


def _spans(ws: Workspace) -> list[Span]:
    """Make the spans of all nodes that were touched, by events or by rules."""
    spans = []
    for node in ws.touched.values():
        trace = ws.find_trace(node.trace_id) if node.is_span else None
        if trace is not None:
            spans.append(make_span(ws, node, trace))
    return spans


def _settle_runs(ws: Workspace, at_us: int) -> None:
    """Say of each run that was touched since the last time whether it has ended."""
    for run in ws.to_settle.values():
        was_running = run.status == "running"
        settle_run(ws, run)
        is_running = run.status == "running"
        if was_running and not is_running:
            ws.facts.append(Fact("run_ended", run.ref, run.ended_at_us or at_us))
        elif is_running and not was_running:
            ws.facts.append(Fact("run_reopened", run.ref, at_us))
    ws.to_settle.clear()


def _on_model_call_started(ws: Workspace, event: Event) -> None:
    model_calls.on_call_started(ws, event, runs.see_run(ws, event, None, None))


def _on_model_call_ended(ws: Workspace, event: Event) -> None:
    run = runs.see_run(ws, event, None, None)
    call = model_calls.on_call_ended(ws, event, run)
    usage_join.on_call_end(ws, event, call)


def _on_before_tool_call(ws: Workspace, event: Event) -> None:
    # Its own span is what OpenClaw calls the run; that span's parent is the harness span.
    harness_id = event.trace.parent_span_id if event.trace is not None else None
    tool_calls.on_before_tool_call(ws, event, runs.see_run(ws, event, harness_id, None))


def _on_after_tool_call(ws: Workspace, event: Event) -> None:
    tool_calls.on_after_tool_call(ws, event, runs.see_run(ws, event, None, None))


def _on_diagnostic(ws: Workspace, event: Event) -> None:
    if not event.run_id or event.trace is None:
        ws.counts["ignored"] += 1
        return
    type_ = read_diagnostic(event.payload).event.type
    if type_ in _HARNESS_EVENTS:
        runs.on_run_hook(ws, event)
    elif type_ in _CALL_EVENTS:
        hook = read_run_hook(event.payload)
        model_calls.on_call_diagnosed(ws, event, runs.see_run(ws, event, None, None), hook)
    else:
        ws.counts["ignored"] += 1


_HARNESS_EVENTS: Final = frozenset({"harness.run.started"})
_CALL_EVENTS: Final = frozenset({"model.call.started", "model.call.completed", "model.call.error"})


def _needs_run(handler: Handler) -> Handler:
    def handle(ws: Workspace, event: Event) -> None:
        if event.run_id:
            handler(ws, event)
        else:
            ws.counts["ignored"] += 1

    return handle


_HANDLERS: Final[dict[str, Handler]] = {
    "before_agent_reply": _needs_run(runs.on_run_start),
    "before_model_resolve": _needs_run(runs.on_run_start),
    "before_agent_run": _needs_run(runs.on_run_start),
    "agent_turn_prepare": _needs_run(runs.on_run_hook),
    "before_prompt_build": _needs_run(runs.on_run_hook),
    "before_agent_finalize": _needs_run(runs.on_run_hook),
    "llm_input": _needs_run(runs.on_llm_input),
    "llm_output": _needs_run(runs.on_llm_output),
    "agent_end": _needs_run(runs.on_agent_end),
    "agent_event": runs.on_agent_event,
    "subagent_spawned": _needs_run(runs.on_subagent_spawned),
    "session_end": runs.on_session_end,
    "gateway_stop": runs.on_gateway_stop,
    "model_call_started": _needs_run(_on_model_call_started),
    "model_call_ended": _needs_run(_on_model_call_ended),
    "before_message_write": usage_join.on_message,
    "before_tool_call": _needs_run(_on_before_tool_call),
    "after_tool_call": _needs_run(_on_after_tool_call),
    "diagnostic": _on_diagnostic,
    "reprice": on_reprice,
}
