"""Turns a batch of events into changes of state, and spans, traces and alerts to send.

Upstream: one record of ``clawtrace.events.v1``, and the state as it was left by the records before it.
Downstream: ``stream_jobs.processors`` writes the changes and sends the outputs.
Guarantee: pure and deterministic: same state, same batch, same rev, same bytes. Every event counts once, whatever
is sent again; each touched span, trace and alert is in the result once, in its final form.
"""

from collections.abc import Callable
from typing import Final

from producers.contracts.event import Event, EventBatch
from stream_jobs.core import guards, model_calls, runs, subagents, tool_calls, usage_join
from stream_jobs.core.compactions import on_compaction_hook, settle_compactions
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.detect.rulebook import RuleBook, TableName
from stream_jobs.core.detect.rules import SETTINGS_TYPES
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact
from stream_jobs.core.hook_payloads import read_diagnostic, read_run_hook
from stream_jobs.core.intervals import add_seq
from stream_jobs.core.keys import spool_ref
from stream_jobs.core.pending import settle_pending
from stream_jobs.core.reprice import on_reprice
from stream_jobs.core.settle import AgentDue, StitchResult, look, settle, settle_runs
from stream_jobs.core.silence import ClosingSettings, close_silent, note_activity
from stream_jobs.core.state import StateReader
from stream_jobs.core.workspace import Workspace

__all__ = [
    "AgentDue",
    "PriceBook",
    "RuleBook",
    "StateReader",
    "StitchResult",
    "read_rules",
    "stitch_batch",
    "tick_agent",
]

_TABLES: Final[dict[TableName, type[RuleSettings]]] = {**SETTINGS_TYPES, "closing": ClosingSettings}


def read_rules(text: str) -> RuleBook:
    """Read the file of rules.

    Raises:
        ValueError: the text names the field.
    """
    return RuleBook.from_toml(text, _TABLES)


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
    note_activity(ws)
    result = settle(ws, max((event.at_us for event in batch.events), default=batch.received_at_us))
    result.rejects = rejects
    return result


def tick_agent(
    state: StateReader,
    tenant_id: str,
    agent_id: str,
    at_us: int,
    rev: int,
    pricer: PriceBook,
    rules: RuleBook,
    *,
    with_fact: bool = True,
) -> StitchResult:
    """Let time pass for an agent; the result is empty when that changes nothing.

    Args:
        at_us: the time now, by the server's clock (UTC, microseconds).
        rev: offset of the tick's record.
        with_fact: whether rules are told, at most once a minute.
    """
    ws = Workspace(
        state,
        tenant_id=tenant_id,
        agent_id=agent_id,
        spool_id="",
        rev=rev,
        received_at_us=at_us,
        pricer=pricer,
        rules=rules,
    )
    if with_fact:
        ws.facts.append(Fact("tick", "", at_us))
        look(ws, None)
    close_silent(ws, at_us)
    result = settle(ws, at_us)
    return result if ws.has_changes else StitchResult()


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
        if spool.compactions:
            settle_compactions(ws)
        if ws.to_settle:
            settle_runs(ws, event.at_us)
        ws.note("event", event.hook, event)
        if event.hook == "gateway_stop":
            ws.note("gateway_stopped", "", event)
        # After each event, not after the batch: what a rule sees must not depend on how events were cut into batches.
        look(ws, event.run_id)
    ws.change(spool_ref(ws.spool_id))
    return rejects


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


def _on_guard_decision(ws: Workspace, event: Event) -> None:
    if not event.run_id:
        guards.on_order_obeyed(ws, event)
        return
    guards.on_guard_decision(ws, event, runs.see_run(ws, event, None, None))


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
    "run_labels": _needs_run(runs.on_run_labels),
    "subagent_spawned": _needs_run(subagents.on_subagent_spawned),
    "subagent_ended": subagents.on_subagent_ended,
    "before_compaction": on_compaction_hook,
    "after_compaction": on_compaction_hook,
    "guard_decision": _on_guard_decision,
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
