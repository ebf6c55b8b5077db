"""What a card needs of a trace, kept while the trace runs, so that its end need not read it whole.

Upstream: nodes and texts that a batch has touched.
Downstream: ``card``, ``reread``.
Guarantee: a few kilobytes a trace and a run, however long they get; the same whatever the order and the batches.
"""

import re
from decimal import Decimal

import msgspec

from stream_jobs.core.roles import role_of
from stream_jobs.core.state import AttemptState, CallState, Node, RunState, ToolState
from stream_jobs.core.workspace import Workspace

MAX_TOP_CALLS = 12
MAX_FAILED = 12
MAX_SUB_AGENTS = 32
MAX_REPLIES = 8
MAX_RESULTS = 128
MAX_TOOLS = 64

_CUT = re.compile(r"… \[cut: (\d+) bytes in all\]\"$")


class TopCall(msgspec.Struct, array_like=True):
    """A dear model call."""

    cost_usd: Decimal
    ref: str


class Step(msgspec.Struct, array_like=True, order=True):
    """A node, by its start."""

    started_at_us: int
    ref: str


class CardLog(msgspec.Struct, array_like=True):
    """Of one trace: the dearest calls, the first steps that failed, sub-agents, runs that may hold the reply, tools."""

    top_calls: list[TopCall] = []
    failed: list[Step] = []
    sub_agents: list[Step] = []
    replies: list[Step] = []
    tools: list[str] = []


class Result(msgspec.Struct, array_like=True):
    """One tool result, by its call: when it came, and its size."""

    tool_call_id: str
    seq: int
    num_bytes: int


class ResultLog(msgspec.Struct, array_like=True):
    """Of one run: its longest tool results."""

    results: list[Result] = []
    num_dropped: int = 0


def card_log(ws: Workspace, trace_id: str) -> CardLog:
    """Return what is kept of a trace."""
    return ws.memory(f"card|{trace_id}", CardLog)


def result_log(ws: Workspace, run_id: str) -> ResultLog:
    """Return what is kept of a run's tool results."""
    return ws.memory(f"card_results|{run_id}", ResultLog)


def note_touched(ws: Workspace) -> None:
    """Take what the nodes of this batch say now."""
    for node in ws.touched.values():
        if isinstance(node, ToolState) and node.output_id in ws.texts:
            _note_result(ws, node)
        if not node.is_span:
            continue
        log = card_log(ws, node.trace_id)
        changed = _note_failed(log, node)
        if isinstance(node, CallState):
            changed = _note_cost(log, node) or changed
        elif isinstance(node, RunState):
            changed = _note_run(log, node) or changed
        elif isinstance(node, ToolState):
            changed = _note_tool(log, node) or changed
        if changed:
            ws.change_memory(f"card|{node.trace_id}")


def is_failed_step(node: Node) -> bool:
    """Whether a step failed, or repeats one that did."""
    if isinstance(node, AttemptState):
        return node.number > 1
    if isinstance(node, RunState) and not role_of(node):
        return False
    return node.status in ("error", "blocked", "incomplete") or bool(isinstance(node, ToolState) and node.exit_code)


def is_sub_agent(run: RunState) -> bool:
    """Whether a run is a sub-agent's first: not an announcement, not the host's own work."""
    return role_of(run).startswith("sub-agent")


def _note_cost(log: CardLog, call: CallState) -> bool:
    known = next((it for it in log.top_calls if it.ref == call.ref), None)
    cost_usd = call.cost_usd
    if (known.cost_usd if known is not None else None) == cost_usd:
        return False
    calls = [it for it in log.top_calls if it.ref != call.ref]
    if cost_usd is not None:
        calls.append(TopCall(cost_usd, call.ref))
    calls.sort(key=lambda it: (-it.cost_usd, it.ref))
    log.top_calls = calls[:MAX_TOP_CALLS]
    return True


def _note_failed(log: CardLog, node: Node) -> bool:
    was = any(it.ref == node.ref for it in log.failed)
    if is_failed_step(node) == was:
        return False
    if was:
        log.failed = [it for it in log.failed if it.ref != node.ref]
    else:
        log.failed = sorted([*log.failed, Step(node.started_at_us, node.ref)])[:MAX_FAILED]
    return True


def _note_run(log: CardLog, run: RunState) -> bool:
    step = Step(run.started_at_us, run.ref)
    if is_sub_agent(run):
        if any(it.ref == run.ref for it in log.sub_agents):
            return False
        log.sub_agents = sorted([*log.sub_agents, step])[:MAX_SUB_AGENTS]
        return True
    if run.is_side_run or ":subagent:" in run.session_key or not run.output_id or step in log.replies:
        return False
    log.replies = sorted([*(it for it in log.replies if it.ref != run.ref), step])[-MAX_REPLIES:]
    return True


def _note_tool(log: CardLog, tool: ToolState) -> bool:
    if not tool.tool_name or tool.tool_name in log.tools:
        return False
    # The first of the alphabet stay, so the order of events makes no difference.
    tools = sorted([*log.tools, tool.tool_name])[:MAX_TOOLS]
    changed, log.tools = tools != log.tools, tools
    return changed


def _note_result(ws: Workspace, tool: ToolState) -> None:
    log = result_log(ws, tool.run_id)
    results = [it for it in log.results if it.tool_call_id != tool.tool_call_id]
    results.append(Result(tool.tool_call_id, tool.ended_seq, result_bytes(ws.texts[tool.output_id])))
    # The longest stay, in the order they came.
    if len(results) > MAX_RESULTS:
        results.remove(min(results, key=lambda it: (it.num_bytes, it.tool_call_id)))
        log.num_dropped += 1
    log.results = sorted(results, key=lambda it: (it.seq, it.tool_call_id))
    ws.change_memory(f"card_results|{tool.run_id}")


class _Part(msgspec.Struct):
    text: str = ""


class _Content(msgspec.Struct):
    content: list[_Part] = []


_decode_content = msgspec.json.Decoder(_Content).decode


def result_bytes(text: bytes) -> int:
    """Return the size of what the model was shown: the content, without details for the user interface."""
    if text.startswith(b"{"):
        try:
            parts = _decode_content(text).content
        except (ValueError, RecursionError):
            parts = []
        if parts:
            return sum(len(part.text.encode(errors="replace")) for part in parts)
    return size_of_text(len(text), text[-80:].decode(errors="replace"))


def size_of_text(num_bytes: int, tail: str) -> int:
    """Return the size of a text as it was before it was cut, by its last characters."""
    cut = _CUT.search(tail)
    return int(cut.group(1)) if cut else num_bytes
