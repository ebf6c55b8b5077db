"""Model calls: their times, how they ended, which attempt of the run they belong to.

Upstream: model_call_started/ended and diagnostic events.
Downstream: ``CallState``; spans of kind model_call; ``stream_jobs.core.call_usage`` for what they cost.
Guarantee: a call is known by its span id alone, since OpenClaw's call id repeats over the attempts of a run.
"""

from producers.contracts.event import Event
from stream_jobs.core.attempts import number_of, place_call
from stream_jobs.core.call_usage import count_usage, is_missing, note_missing, settle_remainder, usage_of
from stream_jobs.core.hook_payloads import RunHook, read_run_hook, whole_ms
from stream_jobs.core.state import NO_SEQ, CallState, RunState, is_compaction
from stream_jobs.core.tree import derived_span_id
from stream_jobs.core.workspace import Workspace


def see_call(ws: Workspace, event: Event, run: RunState) -> CallState:
    """Return the model call of a hook, known to its run from now on."""
    span_id = event.trace.span_id if event.trace is not None else None
    if not span_id:
        # Without a trace context the call id is all there is; it repeats over the attempts of a run.
        attempt = number_of(run, event.seq)
        span_id = derived_span_id(run.trace_id, "model_call", f"{run.run_id}|{event.call_id}|{attempt}")
    call = ws.call(span_id, run.run_id)
    if not call.seen:
        call.seen = True
        call.session_key = event.session_key or run.session_key
        call.openclaw_agent_id = event.openclaw_agent_id or run.openclaw_agent_id
        call.started_at_us = event.at_us
        call.trace_id = run.trace_id
        run.num_calls += 1
        note_missing(run, call, was_missing=False)
    ws.touch(call)
    ws.touch(run)
    return call


def on_call_started(ws: Workspace, event: Event, run: RunState) -> None:
    """A request goes out."""
    hook = read_run_hook(event.payload)
    call = see_call(ws, event, run)
    _take_model(call, hook)
    call.started_seq, call.started_at_us = event.seq, event.at_us
    ws.note("call_started", call.ref, event)
    place_call(ws, run, call)
    run.open_seq = max(run.open_seq, event.seq)
    if call.usage is not None:
        count_usage(ws, run, call, event)


def on_call_ended(ws: Workspace, event: Event, run: RunState) -> CallState:
    """The answer is there, or the call has failed."""
    hook = read_run_hook(event.payload)
    call = see_call(ws, event, run)
    _take_model(call, hook)
    call.ended_seq = event.seq
    call.ended_at_us = event.at_us
    ws.note("call_ended", call.ref, event)
    call.duration_ms = NO_SEQ
    _take_duration(call, hook, event)
    place_call(ws, run, call)
    if hook.event.outcome not in (None, "completed"):
        _fail(run, call, hook)
    settle_status(call)
    if event.seq > run.last_call_seq:
        run.last_call_seq, run.last_call_id = event.seq, call.span_id
    if is_compaction(run.run_id):
        # Such a run is nothing but its calls: no other hook tells its end.
        run.close_seq = max(run.close_seq, event.seq)
        run.closed_at_us = max(run.closed_at_us, event.at_us)
    settle_remainder(ws, run, event)
    return call


def on_call_diagnosed(ws: Workspace, event: Event, run: RunState, hook: RunHook) -> None:
    """Diagnostic events model.call.started, completed and error."""
    call = see_call(ws, event, run)
    call.diagnosed_seq = event.seq if call.diagnosed_seq == NO_SEQ else min(call.diagnosed_seq, event.seq)
    place_call(ws, run, call)
    _take_model(call, hook)
    if hook.event.type == "model.call.started":
        return
    if call.ended_seq == NO_SEQ:
        call.ended_at_us = event.at_us
        _take_duration(call, hook, event)
    if hook.event.type == "model.call.error":
        _fail(run, call, hook)
    settle_status(call)
    told = usage_of(hook.event.usage)
    if told[0] is not None and call.diagnostic_usage is None:
        count_usage(ws, run, call, event, diagnostic=told)
    settle_remainder(ws, run, event)


def _take_model(call: CallState, hook: RunHook) -> None:
    call.provider = call.provider or hook.event.provider or ""
    call.model = call.model or hook.event.model or ""


def _take_duration(call: CallState, hook: RunHook, event: Event) -> None:
    if call.duration_ms < 0:
        call.duration_ms = whole_ms(hook.event.duration_ms)
    if call.started_seq == NO_SEQ and call.duration_ms >= 0:
        call.started_at_us = min(call.started_at_us, event.at_us - 1_000 * call.duration_ms)


def _fail(run: RunState, call: CallState, hook: RunHook) -> None:
    was_missing = is_missing(call)
    call.is_failed = True
    call.error = call.error or hook.event.failure_kind or hook.event.error_category or "failed"
    note_missing(run, call, was_missing)


def settle_status(call: CallState) -> None:
    """Say how an ended call ended."""
    call.status = "error" if call.is_failed or call.message_error else "ok"
