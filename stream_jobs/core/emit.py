"""Makes spans and traces, as they are sent, from what is remembered of them.

Upstream: nodes and traces a batch has touched.
Downstream: ``Span`` and ``Trace`` records.
Guarantee: a revision is whole; token columns are filled only on model calls, so that summing spans counts once.
"""

from typing import Literal, cast

from msgspec.structs import replace

from stream_jobs.contracts.span import Span, SpanKind, SpanStatus
from stream_jobs.contracts.trace import Trace, TraceCategory
from stream_jobs.core import rollup
from stream_jobs.core.roles import role_of
from stream_jobs.core.silence import NEVER_SHOWED
from stream_jobs.core.state import (
    NO_SEQ,
    AttemptState,
    CallState,
    GuardState,
    Node,
    RunState,
    ToolState,
    TraceState,
    is_compaction,
)
from stream_jobs.core.subagents import DEATHS
from stream_jobs.core.tree import path_of
from stream_jobs.core.workspace import Workspace

_STOPPED = "the run was stopped"
_SILENT = "nothing was heard of it any more"


def settle_run(ws: Workspace, run: RunState) -> None:
    """Work out from its facts whether a run has ended, and how."""
    run.status, run.error, run.ended_at_us = "running", "", 0
    if run.close_seq > run.open_seq:
        run.ended_at_us = run.closed_at_us
    elif not run.attempt_seqs and run.stop_seq > run.open_seq:
        # No permission to read the conversation: a message that is no tool use is the only sign of the end.
        run.ended_at_us = run.stopped_at_us
    elif run.told_end_seq > max(run.open_seq, run.spawn_seq):
        run.ended_at_us = max(run.told_ended_at_us, run.started_at_us)
        if run.told_outcome not in DEATHS and run.told_outcome != "ok":
            run.status, run.error = "incomplete", run.told_error or run.told_outcome
            return
    elif run.is_given_up:
        run.ended_at_us, run.status = run.started_at_us, "incomplete"
        return
    elif run.is_silent:
        run.ended_at_us, run.status = max(run.last_at_us, run.started_at_us), "incomplete"
        run.error = NEVER_SHOWED if run.is_inferred else _SILENT
        return
    else:
        return
    run.ended_at_us = max(run.ended_at_us, run.started_at_us)
    run.status, run.error = _verdict(ws, run)
    if run.told_end_seq > run.open_seq and run.told_outcome in DEATHS and run.status != "error":
        told = f": {run.told_error}" if run.told_error else ""
        run.status, run.error = "error", f"sub-agent {run.told_outcome}{told}"


def _verdict(ws: Workspace, run: RunState) -> tuple[SpanStatus, str]:
    if run.end_failed and not run.attempt_seqs:
        # Ended before its first model call: a gate said no.
        return "blocked", run.end_error or run.verdict_error
    if run.verdict_seq > run.open_seq:
        return ("error", run.verdict_error or run.end_error or _STOPPED) if run.verdict_failed else ("ok", "")
    if run.end_seq > run.open_seq and run.end_failed:
        return "error", run.end_error or _STOPPED
    if run.halt_seq > run.open_seq:
        return "error", run.halt_error or _STOPPED
    last_call = ws.find_call(run.last_call_id) if run.last_call_seq != NO_SEQ else None
    if last_call is not None and last_call.status == "error":
        return "error", last_call.message_error or last_call.error
    return "ok", ""


def make_span(ws: Workspace, node: Node, trace: TraceState) -> Span:
    """Make the new revision of a span."""
    path = path_of(ws, node)
    parent_span_id = path[-1] if path else ""
    if node.link_rev == NO_SEQ or parent_span_id != node.parent_span_id:
        node.parent_span_id, node.link_rev = parent_span_id, ws.rev
    # A clock that was set back must not make negative durations.
    ended_at_us = max(node.ended_at_us, node.started_at_us) if node.ended_at_us else None
    kind, operation, name = _labels(node)
    span = Span(
        tenant_id=ws.tenant_id,
        agent_id=ws.agent_id,
        trace_id=node.trace_id,
        span_id=node.span_id,
        parent_span_id=parent_span_id or None,
        path=path,
        depth=len(path),
        kind=kind,
        operation_name=operation,
        name=name.rstrip(),
        status=cast(SpanStatus, node.status),
        error=node.error or None,
        trace_date=trace.trace_date,
        started_at_us=node.started_at_us,
        ended_at_us=ended_at_us,
        duration_ms=None if ended_at_us is None else (ended_at_us - node.started_at_us) // 1_000,
        session_key=node.session_key or None,
        openclaw_agent_id=node.openclaw_agent_id or None,
        input=ws.text(node.input_id),
        output=ws.text(node.output_id),
        payload_ref=node.payload_ref or None,
        flags=_flags(node),
        link_rev=node.link_rev,
        rev=ws.rev,
    )
    if isinstance(node, CallState):
        return _with_call(span, node)
    if isinstance(node, ToolState):
        return _with_tool(span, node)
    if isinstance(node, AttemptState):
        return replace(span, run_id=node.run_id, attempt=node.number)
    if isinstance(node, GuardState):
        return replace(span, run_id=node.run_id)
    return _with_run(span, node) if isinstance(node, RunState) else span


def _labels(node: Node) -> tuple[SpanKind, str, str]:
    """Return kind, operation and name."""
    if isinstance(node, CallState):
        return "model_call", "chat", f"chat {node.model}"
    if isinstance(node, ToolState):
        return "tool_call", "execute_tool", f"execute_tool {node.tool_name}"
    if isinstance(node, AttemptState):
        return "attempt", "invoke_agent", f"attempt {node.number}"
    if isinstance(node, GuardState):
        return "guard", "guard", f"{'verdict' if node.is_verdict else 'guard'} {node.action}"
    if not isinstance(node, RunState):
        raise TypeError(f"{type(node).__name__} is no span")
    if is_compaction(node.run_id):
        return "compaction", "invoke_agent", "compaction"
    role = role_of(node)
    return "run", "invoke_agent", f"invoke_agent {node.openclaw_agent_id}" + (f" ({role})" if role else "")


def _flags(node: Node) -> list[str]:
    flags = ["payload_cut"] if node.payload_cut else []
    if isinstance(node, RunState) and node.is_orphan:
        flags.append("orphan")
    if isinstance(node, RunState | ToolState):
        flags += node.flags
    return flags


def _with_call(span: Span, call: CallState) -> Span:
    usage = call.usage
    span = replace(
        span,
        run_id=call.run_id,
        attempt=call.attempt,
        provider=call.provider or None,
        model=call.model or None,
        error=call.message_error or call.error or None,
        duration_ms=span.duration_ms if call.duration_ms < 0 else call.duration_ms,
    )
    if usage is None:
        return span
    return replace(
        span,
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        usage_source=_source_of(call),
        cost_usd=call.cost_usd,
        price_id=call.price_id or None,
        reported_cost_usd=call.reported_usd,
    )


def _source_of(call: CallState) -> Literal["message", "diagnostic", "remainder"]:
    if call.message_usage is not None:
        return "message"
    return "diagnostic" if call.diagnostic_usage is not None else "remainder"


def _with_tool(span: Span, tool: ToolState) -> Span:
    return replace(
        span,
        run_id=tool.run_id,
        tool_name=tool.tool_name or None,
        tool_call_id=tool.tool_call_id,
        exit_code=tool.exit_code,
        duration_ms=span.duration_ms if tool.duration_ms < 0 else tool.duration_ms,
    )


def _with_run(span: Span, run: RunState) -> Span:
    return replace(
        span,
        run_id=run.run_id,
        provider=run.provider or None,
        model=run.model or None,
        run_input_tokens=run.usage.input_tokens,
        run_cache_read_tokens=run.usage.cache_read_tokens,
        run_cache_write_tokens=run.usage.cache_write_tokens,
        run_output_tokens=run.usage.output_tokens,
        run_cost_usd=run.cost_usd if run.num_priced else None,
    )


def make_trace(ws: Workspace, trace: TraceState) -> Trace:
    """Make the new revision of a trace."""
    counts = trace.counts
    root = ws.find_run(trace.top_runs[0].run_id) if trace.top_runs else None
    is_open = counts[rollup.OPEN] > 0
    started_at_us = trace.started_at_us
    ended_at_us = max(trace.ended_at_us, started_at_us, root.ended_at_us if root is not None else 0)
    return Trace(
        tenant_id=ws.tenant_id,
        agent_id=ws.agent_id,
        trace_id=trace.trace_id,
        trace_date=trace.trace_date,
        root_span_id=root.span_id if root is not None else None,
        name=_name_of(root),
        category=_category_of(trace),
        status="running" if is_open or root is None else cast(SpanStatus, root.status),
        session_key=(root.session_key or None) if root is not None else None,
        openclaw_agent_id=(root.openclaw_agent_id or None) if root is not None else None,
        started_at_us=started_at_us,
        ended_at_us=None if is_open else ended_at_us,
        duration_ms=None if is_open else (ended_at_us - started_at_us) // 1_000,
        num_spans=counts[rollup.SPANS],
        num_runs=counts[rollup.RUNS],
        num_model_calls=counts[rollup.CALLS],
        num_tool_calls=counts[rollup.TOOLS],
        num_errors=counts[rollup.ERRORS],
        num_unpriced_calls=counts[rollup.UNPRICED],
        models=trace.models,
        input_tokens=trace.usage.input_tokens,
        cache_read_tokens=trace.usage.cache_read_tokens,
        cache_write_tokens=trace.usage.cache_write_tokens,
        output_tokens=trace.usage.output_tokens,
        cost_usd=trace.cost_usd if counts[rollup.PRICED] else None,
        reported_cost_usd=trace.reported_usd if counts[rollup.REPORTED] else None,
        has_error=counts[rollup.ERRORS] > 0,
        is_open=is_open,
        labels=root.labels if root is not None else {},
        rev=ws.rev,
    )


def _name_of(root: RunState | None) -> str:
    if root is None:
        return ""
    # Without permission to read the conversation there are no words.
    return root.name or role_of(root) or root.session_key


def _category_of(trace: TraceState) -> TraceCategory:
    counts = trace.counts
    if counts[rollup.HEARTBEATS]:
        return "heartbeat"
    if counts[rollup.RUNS] == counts[rollup.SIDE_RUNS]:
        # Nothing but the host's own upkeep; a compaction on its own is no run at all.
        return "memory"
    return "work"
