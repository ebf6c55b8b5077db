"""The tree of a trace: which trace a node belongs to, and under which node it hangs.

Upstream: runs, model calls and tool calls as their hooks name them.
Downstream: parents and paths of spans.
Guarantee: the final tree follows from the facts, not from the order in which they came; when a node moves or its
trace becomes known, everything under it is sent again.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from producers.contracts.event import filed_at_us
from stream_jobs.core.keys import run_ref, trace_ref
from stream_jobs.core.state import AttemptState, GuardState, Node, RunState, ToolState, TopRun, TraceState
from stream_jobs.core.workspace import Workspace

# A path longer than this keeps the nearest ancestors: a chain of thousands would make each span a huge row.
MAX_PATH = 256
# Of so many runs without a parent a trace knows which is its root; further ones hang under that root for good.
MAX_TOP_RUNS = 256


def derived_span_id(trace_id: str, kind: str, own_id: str) -> str:
    """Make the id of a span that OpenClaw gives none: the same at every replay."""
    return hashlib.sha256(f"{trace_id}|{kind}|{own_id}".encode()).hexdigest()[:16]


def derived_trace_id(tenant_id: str, agent_id: str, run_id: str) -> str:
    """Make the id of the trace of a run that never had one."""
    return hashlib.sha256(f"{tenant_id}|{agent_id}|{run_id}".encode()).hexdigest()[:32]


def give_trace(ws: Workspace, run: RunState, trace_id: str) -> None:
    """Put a run and what hangs under it into a trace; the first trace a run gets is for good."""
    if not enter_trace(ws, run, trace_id):
        return
    if ws.find_trace(trace_id) is None:
        ws.put(trace_ref(trace_id), TraceState(trace_id=trace_id, trace_date=_day_of(run.started_at_us)))
    waiting: list[Node] = [run]
    while waiting:
        parent = waiting.pop()
        for number in range(parent.num_children):
            child = ws.child(parent, number)
            if child is None or child.parent_ref != parent.ref:
                continue
            if enter_trace(ws, child, trace_id):
                waiting.append(child)
            elif isinstance(child, RunState):
                # It was linked before this trace was known; across traces nothing is linked.
                ws.to_relink[child.run_id] = None
    # What was in the trace already has more ancestors now.
    touch_subtree(ws, run)


def enter_trace(ws: Workspace, node: Node, trace_id: str) -> bool:
    """Put one node into a trace; False when it is in one already."""
    if node.trace_id:
        return False
    node.trace_id = trace_id
    if isinstance(node, RunState):
        node.span_id = derived_span_id(trace_id, "run", node.run_id)
        ws.to_relink[node.run_id] = None
    elif isinstance(node, ToolState):
        node.span_id = derived_span_id(trace_id, "tool_call", f"{node.run_id}|{node.tool_call_id}")
    elif isinstance(node, AttemptState):
        node.span_id = node.harness_id or derived_span_id(trace_id, "attempt", f"{node.run_id}|{node.seq}")
    elif isinstance(node, GuardState):
        node.span_id = derived_span_id(trace_id, "guard", node.guard_id)
    ws.touch(node)
    return True


def _day_of(at_us: int) -> str:
    return datetime.fromtimestamp(filed_at_us(at_us) // 1_000_000, tz=UTC).date().isoformat()


def hang_under(ws: Workspace, node: Node, parent: Node | None) -> None:
    """Move a node, with everything under it."""
    parent_ref = parent.ref if parent is not None else ""
    if node.parent_ref == parent_ref:
        return
    node.parent_ref = parent_ref
    ws.change(node.ref)
    if parent is not None:
        ws.add_child(parent, node)
    touch_subtree(ws, node)


def touch_subtree(ws: Workspace, node: Node) -> None:
    """Send a node and everything under it again: their paths have changed."""
    seen = {node.ref}
    waiting = [node]
    while waiting:
        parent = waiting.pop()
        if parent.is_span:
            ws.touch(parent)
        for number in range(parent.num_children):
            child = ws.child(parent, number)
            if child is not None and child.parent_ref == parent.ref and child.ref not in seen:
                seen.add(child.ref)
                waiting.append(child)


def path_of(ws: Workspace, node: Node) -> list[str]:
    """Return the ids of the shown ancestors in the same trace, the root first."""
    path: list[str] = []
    seen = {node.ref}
    parent_ref = node.parent_ref
    while parent_ref and parent_ref not in seen and len(path) < MAX_PATH:
        seen.add(parent_ref)
        parent = ws.find_node(parent_ref)
        if parent is None:
            break
        if parent.is_span and parent.trace_id == node.trace_id:
            path.append(parent.span_id)
        parent_ref = parent.parent_ref
    path.reverse()
    return path


def relink_runs(ws: Workspace) -> None:
    """Find the parent of every run whose links changed in this batch."""
    while ws.to_relink:
        run_id = next(iter(ws.to_relink))
        del ws.to_relink[run_id]
        run = ws.find_run(run_id)
        if run is not None and run.seen:
            _relink(ws, run)


def _relink(ws: Workspace, run: RunState) -> None:
    parent = _find_parent(ws, run)
    if parent is not None and not run.trace_id and parent.trace_id:
        give_trace(ws, run, parent.trace_id)
    trace = ws.find_trace(run.trace_id) if run.trace_id else None
    if trace is None:
        hang_under(ws, run, parent)
        return
    is_orphan = parent is None and _is_child(run)
    if is_orphan != run.is_orphan:
        run.is_orphan = is_orphan
        if is_orphan:
            ws.counts["orphans"] += 1
        ws.touch(run)
    tops = [top for top in trace.top_runs if top.run_id != run.run_id]
    if parent is None:
        tops = sorted([*tops, TopRun(run.is_side_run, run.first_seq, run.run_id)])[:MAX_TOP_RUNS]
    old_root = trace.top_runs[0].run_id if trace.top_runs else ""
    if tops != trace.top_runs:
        trace.top_runs = tops
        ws.change(trace_ref(run.trace_id))
    if tops and tops[0].run_id != old_root:
        ws.to_relink.update((top.run_id, None) for top in tops if top.run_id != run.run_id)
    if parent is None and tops[0].run_id != run.run_id:
        # The host's own work around a request (memory flush, compaction) names the request as its parent, as the
        # request's run does; it is shown under that run.
        parent = ws.run(tops[0].run_id)
    hang_under(ws, run, parent)


def _is_child(run: RunState) -> bool:
    return bool(run.requester_session) or run.run_id.startswith("announce:") or ":subagent:" in run.session_key


def _find_parent(ws: Workspace, run: RunState) -> Node | None:
    for ref in _parent_refs(ws, run):
        parent = ws.find_node(ref) if ref and ref != run.ref else None
        if parent is not None and parent.seen and parent.trace_id in ("", run.trace_id or parent.trace_id):
            return parent
    return None


def _parent_refs(ws: Workspace, run: RunState) -> Iterator[str]:
    yield run.spawn_ref
    if run.harness_parent_id:
        yield run_ref(ws.find_harness_run(run.harness_parent_id))
    if run.requester_session:
        yield run_ref(ws.session(run.requester_session).last_run_id)
