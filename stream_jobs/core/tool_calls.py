"""Tool calls: what was asked, what came back, and which sub-agent they started.

Upstream: before_tool_call and after_tool_call.
Downstream: ``ToolState``; the link from a child's run to the call that spawned it; spans of kind tool_call.
Guarantee: after_tool_call alone makes a whole span (unknown tools and denials have no before); a command's exit
code is shown and is no error.
"""

import re

from producers.contracts.event import Event
from stream_jobs.core.attempts import place_tool
from stream_jobs.core.hook_payloads import (
    ToolDetails,
    ToolHook,
    cut_text,
    is_empty,
    read_tool_details,
    read_tool_hook,
    text_of,
    whole_ms,
)
from stream_jobs.core.state import NO_SEQ, Node, RunState, ToolState
from stream_jobs.core.subagents import note_spawn
from stream_jobs.core.tree import enter_trace, hang_under, touch_subtree
from stream_jobs.core.workspace import Workspace

# Tool search and code mode run tools inside a tool: the inner id names the outer call.
_INNER_ID = re.compile(r"^tool_search_code:(.+):[^:]+:\d+$")

_FROM_BEFORE, _FROM_AFTER = 0, 1


def on_before_tool_call(ws: Workspace, event: Event, run: RunState) -> None:
    """The tool is about to run."""
    if not event.tool_call_id:
        return
    hook = read_tool_hook(event.payload)
    tool = _see_tool(ws, event, run, event.tool_call_id)
    tool.started_seq, tool.started_at_us = event.seq, event.at_us
    place_tool(ws, run, tool)
    ws.note("tool_started", tool.ref, event)
    _take_input(ws, tool, event, hook, _FROM_BEFORE)


def on_after_tool_call(ws: Workspace, event: Event, run: RunState) -> None:
    """The tool has run, or was not let run."""
    if not event.tool_call_id:
        return
    hook = read_tool_hook(event.payload)
    tool = _see_tool(ws, event, run, event.tool_call_id)
    tool.ended_seq, tool.ended_at_us = event.seq, event.at_us
    place_tool(ws, run, tool)
    ws.note("tool_ended", tool.ref, event)
    tool.duration_ms = whole_ms(hook.event.duration_ms)
    if tool.started_seq == NO_SEQ:
        tool.started_at_us = event.at_us - 1_000 * max(tool.duration_ms, 0)
    _take_input(ws, tool, event, hook, _FROM_AFTER)
    tool.error = text_of(hook.event.error)
    tool.status = "error" if tool.error else "ok"
    if not is_empty(hook.event.result):
        text, is_cut = cut_text(hook.event.result)
        tool.output_id = ws.put_text(event, "o", text)
        tool.payload_cut = tool.payload_cut or is_cut
        details = read_tool_details(hook.event.result)
        if details is not None:
            _take_details(ws, tool, details, event)


def _see_tool(ws: Workspace, event: Event, run: RunState, tool_call_id: str) -> ToolState:
    tool = tool_node(ws, run, tool_call_id)
    if not tool.seen:
        tool.seen = True
        tool.session_key = event.session_key or run.session_key
        tool.openclaw_agent_id = event.openclaw_agent_id or run.openclaw_agent_id
        tool.started_at_us = event.at_us
        if tool.num_children:
            touch_subtree(ws, tool)
    if event.payload_ref:
        tool.payload_ref = event.payload_ref
    ws.touch(tool)
    return tool


def tool_node(ws: Workspace, run: RunState, tool_call_id: str) -> ToolState:
    """Return a tool call, in its place in the tree even when nothing but its id is known."""
    tool = ws.tool(run.run_id, tool_call_id)
    if tool.parent_ref:
        return tool
    inner = _INNER_ID.match(tool_call_id)
    parent: Node = run if inner is None else tool_node(ws, run, inner.group(1))
    if run.trace_id:
        enter_trace(ws, tool, run.trace_id)
    hang_under(ws, tool, parent)
    return tool


def _take_input(ws: Workspace, tool: ToolState, event: Event, hook: ToolHook, rank: int) -> None:
    tool.tool_name = tool.tool_name or hook.event.tool_name or ""
    if rank < tool.input_rank and not is_empty(hook.event.params):
        text, is_cut = cut_text(hook.event.params)
        tool.input_id, tool.input_rank = ws.put_text(event, "i", text), rank
        tool.payload_cut = tool.payload_cut or is_cut


def _take_details(ws: Workspace, tool: ToolState, details: ToolDetails, event: Event) -> None:
    if bytes(details.status) == b'"blocked"':
        tool.status = "blocked"
    exit_code = bytes(details.exit_code)
    if re.fullmatch(rb"-?\d{1,9}", exit_code):
        tool.exit_code = int(exit_code)
    child_run_id = text_of(details.run_id)
    if child_run_id and not is_empty(details.child_session_key):
        child = ws.run(child_run_id)
        child.spawn_ref = tool.ref
        note_spawn(ws, child, text_of(details.child_session_key), event)
        ws.to_relink[child_run_id] = None
