"""Attempts: when a run asked a model anew, its calls hang under the attempt they belong to.

Upstream: ``llm_input`` begins an attempt, ``agent_end`` and ``llm_output`` end one.
Downstream: ``AttemptState``; spans of kind attempt.
Guarantee: a run with one attempt has no such spans. What belongs to which attempt follows from sequence numbers, so it
is found again when the beginning of one comes late.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from producers.contracts.event import Event
from stream_jobs.core.keys import attempts_ref
from stream_jobs.core.state import NO_SEQ, AttemptEnd, AttemptStart, AttemptState, CallState, Node, RunState, ToolState
from stream_jobs.core.tree import enter_trace, hang_under
from stream_jobs.core.workspace import Workspace

# A run of hundreds of attempts is a provider outage; more are counted to the last of these.
MAX_ATTEMPTS = 256
MAX_ENDS = 2 * MAX_ATTEMPTS

_STOPPED = "the attempt was stopped"


def begin_attempt(ws: Workspace, run: RunState, event: Event) -> None:
    """Note the beginning of an attempt."""
    if len(run.attempt_seqs) >= MAX_ATTEMPTS:
        return
    run.attempt_seqs = sorted([*run.attempt_seqs, event.seq])
    harness_id = (event.trace.span_id or "") if event.trace is not None else ""
    start = AttemptStart(event.seq, event.at_us, harness_id)
    insort(ws.attempts(run.run_id).starts, start, key=lambda it: it.seq)
    ws.change(attempts_ref(run.run_id))
    if len(run.attempt_seqs) > 2 and event.seq >= run.newest_seq:
        before = find_attempt(ws, run, event.seq)
        if before is not None:
            ws.touch(before)
        _make_attempt(ws, run, len(run.attempt_seqs))
    elif len(run.attempt_seqs) > 1:
        regroup(ws, run)


def end_attempt(ws: Workspace, run: RunState, event: Event, *, is_failed: bool = False, output_id: str = "") -> None:
    """Note a sign that an attempt has ended."""
    ends = ws.attempts(run.run_id).ends
    insort(ends, AttemptEnd(event.seq, event.at_us, is_failed, output_id), key=lambda it: it.seq)
    del ends[:-MAX_ENDS]
    ws.change(attempts_ref(run.run_id))
    attempt = find_attempt(ws, run, event.seq)
    if attempt is not None:
        ws.touch(attempt)


def number_of(run: RunState, seq: int) -> int:
    """Return the number of the attempt that an event belongs to, from 1."""
    return max(1, bisect_left(run.attempt_seqs, seq))


def find_attempt(ws: Workspace, run: RunState, seq: int) -> AttemptState | None:
    """Return the attempt that an event belongs to, if the run had several."""
    if len(run.attempt_seqs) < 2:
        return None
    return ws.attempt(run.run_id, run.attempt_seqs[number_of(run, seq) - 1])


def place_call(ws: Workspace, run: RunState, call: CallState) -> None:
    """Hang a model call under its run, or its attempt."""
    call.attempt = number_of(run, call.seq)
    attempt = find_attempt(ws, run, call.seq)
    if attempt is None:
        hang_under(ws, call, run)
    elif call.parent_ref in ("", attempt.ref):
        hang_under(ws, call, attempt)
        _note_last_call(ws, attempt, call)
    else:
        # It was told of its end first, and counted with another attempt.
        regroup(ws, run)


def place_tool(ws: Workspace, run: RunState, tool: ToolState) -> None:
    """Hang a tool call under its run, or its attempt; one inside another tool call stays there."""
    if tool.parent_ref == run.ref or tool.parent_ref.startswith("a"):
        hang_under(ws, tool, find_attempt(ws, run, tool.seq) or run)


def regroup(ws: Workspace, run: RunState) -> None:
    """Number the attempts of a run again, and hang its calls under them."""
    nodes = list(calls_of(ws, run))
    attempts = []
    if len(run.attempt_seqs) > 1:
        attempts = [_make_attempt(ws, run, number) for number in range(1, len(run.attempt_seqs) + 1)]
    for attempt in attempts:
        attempt.last_call_seq, attempt.last_call_id = NO_SEQ, ""
    for node in nodes:
        number = number_of(run, node.seq)
        if isinstance(node, CallState) and node.attempt != number:
            node.attempt = number
            ws.touch(node)
        if attempts:
            hang_under(ws, node, attempts[number - 1])
            if isinstance(node, CallState):
                _note_last_call(ws, attempts[number - 1], node)


def calls_of(ws: Workspace, run: RunState) -> Iterator[CallState | ToolState]:
    """Yield the model calls and tool calls directly under a run or its attempts."""
    parents: list[Node] = [run]
    if len(run.attempt_seqs) > 1:
        parents += [ws.attempt(run.run_id, seq) for seq in run.attempt_seqs]
    for parent in parents:
        for child in ws.children(parent):
            if isinstance(child, CallState | ToolState):
                yield child


def settle_attempt(ws: Workspace, run: RunState, attempt: AttemptState) -> None:
    """Work out from the facts whether an attempt has ended, and how; the last one ends as its run does."""
    position = bisect_left(run.attempt_seqs, attempt.seq)
    facts = ws.attempts(run.run_id)
    is_last = position + 1 == len(run.attempt_seqs)
    until = None if is_last else facts.starts[position + 1]
    ends = [it for it in facts.ends if it.seq > attempt.seq and (until is None or it.seq < until.seq)]
    attempt.output_id = next((it.output_id for it in reversed(ends) if it.output_id), "")
    if until is None:
        attempt.status, attempt.error, attempt.ended_at_us = run.status, run.error, run.ended_at_us
        return
    attempt.ended_at_us = max((it.at_us for it in ends), default=until.at_us)
    last_call = ws.find_call(attempt.last_call_id) if attempt.last_call_id else None
    attempt.status, attempt.error = "ok", ""
    if last_call is not None and last_call.status == "error":
        attempt.status, attempt.error = "error", last_call.message_error or last_call.error
    elif any(it.is_failed for it in ends):
        attempt.status, attempt.error = "error", _STOPPED
    elif last_call is None:
        attempt.status = "incomplete"


def _make_attempt(ws: Workspace, run: RunState, number: int) -> AttemptState:
    starts = ws.attempts(run.run_id).starts
    start = starts[number - 1]
    attempt = ws.attempt(run.run_id, start.seq)
    attempt.number, attempt.started_at_us, attempt.seen = number, start.at_us, True
    attempt.session_key, attempt.openclaw_agent_id = run.session_key, run.openclaw_agent_id
    if all(it.harness_id != start.harness_id for it in starts[: number - 1]):
        attempt.harness_id = start.harness_id
    if run.trace_id:
        enter_trace(ws, attempt, run.trace_id)
    hang_under(ws, attempt, run)
    ws.touch(attempt)
    return attempt


def _note_last_call(ws: Workspace, attempt: AttemptState, call: CallState) -> None:
    if call.ended_seq > attempt.last_call_seq:
        attempt.last_call_seq, attempt.last_call_id = call.ended_seq, call.span_id
        ws.touch(attempt)
