"""Guard spans: what the guard in the agent decided, and what rules told the agent to do.

Upstream: event ``guard_decision`` from the plugin; verdicts of rules.
Downstream: ``GuardState``; spans of kind guard under the tool call or the run they are about.
Guarantee: ids follow from decision and verdict; a decision that names no run has no place in a tree and stays an event.
"""

from typing import Final

from producers.contracts.event import Event
from producers.contracts.guard import Verdict
from stream_jobs.core.hook_payloads import MAX_ERROR_CHARS, cut_text, read_guard_decision, read_raw_event
from stream_jobs.core.state import CallState, GuardState, Node, RunState
from stream_jobs.core.tool_calls import tool_node
from stream_jobs.core.tree import enter_trace, hang_under
from stream_jobs.core.workspace import Workspace

# What lets the agent go on.
_MILD: Final = frozenset({"note", "release"})


def on_guard_decision(ws: Workspace, event: Event, run: RunState) -> None:
    """The guard in the agent has decided something."""
    decision = read_guard_decision(event.payload).event
    parent: Node = tool_node(ws, run, event.tool_call_id) if event.tool_call_id else run
    guard = ws.guard(decision.decision_id or event.event_id, run.run_id)
    if guard.seen:
        return
    text, guard.payload_cut = cut_text(read_raw_event(event.payload))
    guard.output_id = ws.put_text(event, "o", text)
    _show(ws, guard, run, parent, decision.action or "", decision.reason or "", event.at_us)


def show_verdicts(ws: Workspace, run_id: str | None) -> None:
    """Make spans of the verdicts that rules have given since the last time.

    Args:
        run_id: the run whose event was looked at, for a verdict that names no run itself.
    """
    for verdict in list(ws.verdicts.values())[ws.num_verdicts_shown :]:
        run = _run_of(ws, verdict, run_id)
        if run is None:
            ws.counts["verdicts_without_run"] += 1
            continue
        guard = ws.guard(verdict.verdict_id, run.run_id)
        guard.is_verdict = True
        alert = ws.alerts.get(verdict.alert_id or "")
        _show(ws, guard, run, run, verdict.action, verdict.reason, alert.at_us if alert else run.last_at_us)
    ws.num_verdicts_shown = len(ws.verdicts)


def _run_of(ws: Workspace, verdict: Verdict, run_id: str | None) -> RunState | None:
    alert = ws.alerts.get(verdict.alert_id or "")
    named = verdict.scope_id if verdict.scope == "run" else alert.labels.get("run_id") if alert is not None else None
    for candidate in (named, run_id):
        run = ws.find_run(candidate) if candidate else None
        if run is not None:
            return run
    call = ws.find_call(alert.span_id) if alert is not None and alert.span_id else None
    return ws.find_run(call.run_id) if isinstance(call, CallState) else None


def _show(ws: Workspace, guard: GuardState, run: RunState, parent: Node, action: str, reason: str, at_us: int) -> None:
    guard.seen, guard.action = True, action
    guard.started_at_us = guard.ended_at_us = at_us
    guard.status = "ok" if action in _MILD else "blocked"
    guard.error = "" if action in _MILD else reason[:MAX_ERROR_CHARS]
    guard.session_key, guard.openclaw_agent_id = run.session_key, run.openclaw_agent_id
    if run.trace_id:
        enter_trace(ws, guard, run.trace_id)
    hang_under(ws, guard, parent)
    ws.touch(guard)
