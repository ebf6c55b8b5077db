"""Guard spans: what the guard in the agent decided, and what rules told the agent to do.

Upstream: event ``guard_decision`` from the plugin; verdicts of rules.
Downstream: ``GuardState``; spans of kind guard under the tool call or the run they are about.
Guarantee: ids follow from decision and verdict. A guard that obeys an order from outside (abort, note, release) names
no run: such a decision hangs where the verdict does that it obeys, else under the run, the session's newest run or the
agent's newest open run that it covers, of those known when it comes. When nothing was running it stays an event.
"""

from typing import Final

from producers.contracts.event import Event
from producers.contracts.guard import Verdict
from stream_jobs.core.hook_payloads import (
    MAX_ERROR_CHARS,
    GuardDecision,
    cut_text,
    read_guard_decision,
    read_raw_event,
)
from stream_jobs.core.keys import guard_ref
from stream_jobs.core.silence import watched_runs
from stream_jobs.core.state import CallState, GuardState, Node, RunState
from stream_jobs.core.tool_calls import tool_node
from stream_jobs.core.tree import enter_trace, hang_under
from stream_jobs.core.workspace import Workspace

# What lets the agent go on.
_MILD: Final = frozenset({"note", "release"})


def on_guard_decision(ws: Workspace, event: Event, run: RunState) -> None:
    """The guard in the agent has decided something."""
    parent: Node = tool_node(ws, run, event.tool_call_id) if event.tool_call_id else run
    _take_decision(ws, event, read_guard_decision(event.payload).event, run, parent)


def on_order_obeyed(ws: Workspace, event: Event) -> None:
    """The guard in the agent has done what somebody else decided, for more than one run."""
    decision = read_guard_decision(event.payload).event
    run = _run_covered(ws, event, decision)
    if run is None:
        ws.counts["decisions_without_run"] += 1
    else:
        _take_decision(ws, event, decision, run, run)


def _run_covered(ws: Workspace, event: Event, decision: GuardDecision) -> RunState | None:
    verdict = ws.find(guard_ref(decision.verdict_id)) if decision.verdict_id else None
    if isinstance(verdict, GuardState):
        return ws.find_run(verdict.run_id)
    scope_id = decision.scope_id or ""
    if decision.scope == "session":
        earlier = [run_id for seq, run_id in ws.session(scope_id).recent if seq < event.seq]
        return ws.find_run(earlier[-1]) if earlier else None
    if decision.scope == "run" and (run := ws.find_run(scope_id)) is not None:
        return run
    # Runs are watched from the end of their batch on.
    runs = [*watched_runs(ws), *(node for node in ws.touched.values() if isinstance(node, RunState))]
    running = [run for run in runs if run.is_open and run.started_at_us <= event.at_us]
    if decision.scope == "run":
        # The plugin knows a run with its sub-agents by the id of the trace.
        running = [run for run in running if run.trace_id == scope_id]
    return max(running, key=lambda run: (run.started_at_us, run.run_id), default=None)


def _take_decision(ws: Workspace, event: Event, decision: GuardDecision, run: RunState, parent: Node) -> None:
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
