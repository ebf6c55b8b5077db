"""The end of a batch or a tick: conclusions from facts, sums of traces, spans and traces to send.

Upstream: a workspace in which events were applied, or time has passed.
Downstream: ``StitchResult``.
Guarantee: each touched span and trace is in the result once, in its final form.
"""

import msgspec

from producers.contracts.guard import Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.spend import Spend
from stream_jobs.contracts.trace import Trace
from stream_jobs.core.attempts import settle_attempt
from stream_jobs.core.cards.card import make_cards
from stream_jobs.core.detect.rules import detect
from stream_jobs.core.emit import make_span, make_trace, settle_run
from stream_jobs.core.facts import Fact
from stream_jobs.core.guards import show_verdicts
from stream_jobs.core.keys import agent_ref, payload_ref, trace_ref
from stream_jobs.core.rollup import add_to_trace, is_open
from stream_jobs.core.silence import count_open, spread_activity, watch_runs
from stream_jobs.core.spend import spends_of
from stream_jobs.core.state import AttemptState, CallState, GuardState, Node, RunState, TraceState
from stream_jobs.core.tree import relink_runs
from stream_jobs.core.workspace import Workspace


class AgentDue(msgspec.Struct, frozen=True, array_like=True):
    """When ticks have to visit an agent: once at an instant, and every minute until another (0: not at all)."""

    at_us: int = 0
    every_minute_until_us: int = 0


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
    # Only when it has changed.
    due: AgentDue | None = None


def settle(ws: Workspace, at_us: int) -> StitchResult:
    """Draw all conclusions.

    Args:
        at_us: for facts that have no instant of their own.
    """
    relink_runs(ws)
    spread_activity(ws)
    spends = spends_of(ws)
    traces = _settle_nodes(ws, at_us)
    watch_runs(ws)
    num_settled = len(ws.touched)
    look(ws, None)
    for node in list(ws.touched.values())[num_settled:]:
        if isinstance(node, GuardState):
            _add(ws, node, traces)
    agent_changed = ws.is_changed(agent_ref())
    agent = ws.agent()
    cards = make_cards(ws, traces.values())
    return StitchResult(
        changes=ws.changes(),
        payloads={ws.key(payload_ref(text_id)): text for text_id, text in ws.texts.items()},
        spans=_spans(ws),
        traces=[make_trace(ws, trace) for trace in traces.values()],
        alerts=list(ws.told_alerts()),
        verdicts=list(ws.verdicts.values()),
        cards=cards,
        spends=spends,
        counts=dict(ws.counts),
        due=AgentDue(agent.next_due_us, agent.active_until_us) if agent_changed else None,
    )


def look(ws: Workspace, run_id: str | None) -> None:
    """Let the rules look at the facts noted since the last time, and show what they told the agent.

    Args:
        run_id: the run whose event it was.
    """
    detect(ws)
    if len(ws.verdicts) > ws.num_verdicts_shown:
        show_verdicts(ws, run_id)


def settle_runs(ws: Workspace, at_us: int) -> None:
    """Say of each run that was touched since the last time whether it has ended."""
    for run in ws.to_settle.values():
        before = run.status
        settle_run(ws, run)
        if run.status == before:
            continue
        # One that silence had closed may turn out to have ended, without going on in between.
        if run.status != "running" and before in ("running", "incomplete"):
            ws.facts.append(Fact("run_ended", run.ref, run.ended_at_us or at_us))
        elif run.status == "running":
            ws.facts.append(Fact("run_reopened", run.ref, at_us))
    ws.to_settle.clear()


def _settle_nodes(ws: Workspace, at_us: int) -> dict[str, TraceState]:
    """Bring the sums of the traces up to their spans; return these traces."""
    settle_runs(ws, at_us)
    _settle_attempts(ws)
    count_open(ws)
    traces: dict[str, TraceState] = {}
    for node in ws.touched.values():
        _add(ws, node, traces)
    for trace_id, trace in traces.items():
        if not is_open(trace):
            ws.facts.append(Fact("trace_closed", trace_id, at_us))
    return traces


def _settle_attempts(ws: Workspace) -> None:
    """Settle attempts that were touched themselves, or by a call, and the last of each run."""
    wanted: dict[str, AttemptState] = {}
    for node in ws.touched.values():
        attempt = node
        if isinstance(node, CallState) and node.parent_ref.startswith("a"):
            attempt = ws.find_node(node.parent_ref) or node
        elif isinstance(node, RunState) and len(node.attempt_seqs) > 1:
            attempt = ws.attempt(node.run_id, node.attempt_seqs[-1])
        if isinstance(attempt, AttemptState):
            wanted[attempt.ref] = attempt
    for attempt in wanted.values():
        run = ws.run(attempt.run_id)
        was = (attempt.status, attempt.error, attempt.ended_at_us, attempt.output_id)
        settle_attempt(ws, run, attempt)
        if (attempt.status, attempt.error, attempt.ended_at_us, attempt.output_id) != was:
            ws.touch(attempt)


def _add(ws: Workspace, node: Node, traces: dict[str, TraceState]) -> None:
    trace = ws.find_trace(node.trace_id) if node.is_span else None
    if trace is None:
        return
    add_to_trace(trace, node, ws.before.get(node.ref))
    if trace.trace_id not in traces:
        traces[trace.trace_id] = trace
        ws.change(trace_ref(trace.trace_id))


def _spans(ws: Workspace) -> list[Span]:
    """Make the spans of all nodes that were touched, by events or by rules."""
    spans = []
    for node in ws.touched.values():
        trace = ws.find_trace(node.trace_id) if node.is_span else None
        if trace is not None:
            spans.append(make_span(ws, node, trace))
    return spans
