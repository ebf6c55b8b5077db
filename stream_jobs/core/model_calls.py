"""Model calls: their times, tokens and cost, and what they add to their run.

Upstream: model_call_started/ended, diagnostic events, the usage join, the sums of ``llm_output``.
Downstream: ``CallState``; totals of runs; the runaway rule; spans of kind model_call.
Guarantee: however often and by whomever the tokens of a call are told, they count once: those of the message,
else of the diagnostic event, else what the run's own sum leaves for the one call that has none.
"""

from bisect import bisect_left
from decimal import Decimal

from producers.contracts.event import Event
from producers.contracts.usage import OpenClawUsage, TokenUsage, reported_cost_usd
from stream_jobs.core.hook_payloads import RunHook, read_run_hook, whole_ms
from stream_jobs.core.runaway import alert_run_cost
from stream_jobs.core.state import NO_SEQ, NO_TOKENS, CallState, RunState, is_compaction
from stream_jobs.core.tree import derived_span_id, hang_under
from stream_jobs.core.workspace import Workspace

# Calls without tokens that a run remembers by name; more only happen where no message hook is served at all.
MAX_MISSING = 32

_MAX_USD = Decimal(10) ** 9


def dollars_of(text: str | None) -> Decimal | None:
    """Read OpenClaw's own estimate; None for what is no sensible amount."""
    if text is None:
        return None
    amount = Decimal(text)
    return amount if amount.is_finite() and abs(amount) < _MAX_USD else None


def see_call(ws: Workspace, event: Event, run: RunState) -> CallState:
    """Return the model call of a hook, known to its run from now on."""
    span_id = event.trace.span_id if event.trace is not None else None
    if not span_id:
        # Without a trace context the call id is all there is; it repeats over the attempts of a run.
        attempt = bisect_left(run.attempt_seqs, event.seq)
        span_id = derived_span_id(run.trace_id, "model_call", f"{run.run_id}|{event.call_id}|{attempt}")
    call = ws.call(span_id, run.run_id)
    if not call.seen:
        call.seen = True
        call.session_key = event.session_key or run.session_key
        call.openclaw_agent_id = event.openclaw_agent_id or run.openclaw_agent_id
        call.started_at_us = event.at_us
        call.trace_id = run.trace_id
        hang_under(ws, call, run)
        run.num_calls += 1
        _note_missing(run, call, was_missing=False)
    ws.touch(call)
    ws.touch(run)
    return call


def on_call_started(ws: Workspace, event: Event, run: RunState) -> None:
    """A request goes out."""
    call = see_call(ws, event, run)
    _take_model(call, read_run_hook(event.payload))
    call.started_seq, call.started_at_us = event.seq, event.at_us
    call.attempt = _attempt_of(run, call)
    run.open_seq = max(run.open_seq, event.seq)
    if call.usage is not None:
        count_usage(ws, run, call, event)


def on_call_ended(ws: Workspace, event: Event, run: RunState) -> CallState:
    """The answer is there, or the call has failed."""
    call = see_call(ws, event, run)
    hook = read_run_hook(event.payload)
    _take_model(call, hook)
    call.ended_seq = event.seq
    call.ended_at_us = event.at_us
    call.duration_ms = NO_SEQ
    _take_duration(call, hook, event)
    if call.started_seq == NO_SEQ:
        call.attempt = _attempt_of(run, call)
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
    _take_model(call, hook)
    if hook.event.type == "model.call.started":
        return
    if call.ended_seq == NO_SEQ:
        call.ended_at_us = event.at_us
        _take_duration(call, hook, event)
    if hook.event.type == "model.call.error":
        _fail(run, call, hook)
    settle_status(call)
    usage = hook.event.usage
    if usage is not None and call.diagnostic_usage is None:
        diagnostic_usd = dollars_of(reported_cost_usd(usage))
        count_usage(ws, run, call, event, diagnostic=(TokenUsage.from_openclaw(usage), diagnostic_usd))
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
    was_missing = _is_missing(call)
    call.is_failed = True
    call.error = call.error or hook.event.failure_kind or hook.event.error_category or "failed"
    _note_missing(run, call, was_missing)


def settle_status(call: CallState) -> None:
    """Say how an ended call ended."""
    call.status = "error" if call.is_failed or call.message_error else "ok"


def _attempt_of(run: RunState, call: CallState) -> int:
    seq = call.started_seq if call.started_seq != NO_SEQ else call.ended_seq
    return max(1, bisect_left(run.attempt_seqs, seq))


def number_attempts(ws: Workspace, run: RunState) -> None:
    """Number the calls of a run again, after the beginning of an attempt has come late."""
    for number in range(run.num_children):
        call = ws.child(run, number)
        if isinstance(call, CallState) and call.attempt != (attempt := _attempt_of(run, call)):
            call.attempt = attempt
            ws.touch(call)


# --- tokens


Told = tuple[TokenUsage | None, Decimal | None]


def usage_of(usage: OpenClawUsage | None) -> Told:
    """Read the tokens and the dollars of a usage object."""
    if usage is None:
        return None, None
    return TokenUsage.from_openclaw(usage), dollars_of(reported_cost_usd(usage))


def count_usage(
    ws: Workspace,
    run: RunState,
    call: CallState,
    event: Event,
    *,
    message: Told | None = None,
    diagnostic: Told | None = None,
    remainder: Told | None = None,
) -> None:
    """Take what one source tells of a call's tokens, price the call, and bring the run's totals up to it."""
    _add_to_run(run, call, -1)
    was_unpriced, was_missing = _is_unpriced(call), _is_missing(call)
    if message is not None:
        call.message_usage, call.message_usd = message
    if diagnostic is not None:
        call.diagnostic_usage, call.diagnostic_usd = diagnostic
    if remainder is not None:
        call.remainder_usage, call.remainder_usd = remainder
    _price(ws, call)
    _add_to_run(run, call, 1)
    _check_sources(ws, call)
    if _is_unpriced(call) and not was_unpriced:
        ws.counts["unpriced_calls"] += 1
    _note_missing(run, call, was_missing)
    ws.touch(call)
    ws.touch(run)
    _check_limit(ws, run, call, event)


def _price(ws: Workspace, call: CallState) -> None:
    call.cost_usd, call.price_id = None, ""
    usage = call.usage
    if usage is None:
        return
    price = ws.pricer.find_price(ws.tenant_id, call.provider, call.model, call.started_at_us)
    if price is not None:
        call.cost_usd, call.price_id = price.cost_usd(usage), price.price_id


def _is_unpriced(call: CallState) -> bool:
    usage = call.usage
    return call.cost_usd is None and usage is not None and usage.total_tokens > 0


def _add_to_run(run: RunState, call: CallState, sign: int) -> None:
    usage = call.usage
    if usage is not None:
        run.usage = run.usage + usage if sign > 0 else run.usage - usage
    if call.cost_usd is not None:
        run.cost_usd += sign * call.cost_usd
        run.num_priced += sign
    if call.reported_usd is not None:
        run.call_reported_usd += sign * call.reported_usd


def _check_sources(ws: Workspace, call: CallState) -> None:
    told = (call.message_usage, call.diagnostic_usage)
    is_mismatch = told[0] is not None and told[1] is not None and not _agree(told[0], told[1])
    if is_mismatch and not call.is_mismatch:
        ws.counts["usage_mismatches"] += 1
    call.is_mismatch = is_mismatch


def _agree(left: TokenUsage, right: TokenUsage) -> bool:
    difference = left - right
    return not (
        difference.input_tokens
        or difference.cache_read_tokens
        or difference.cache_write_tokens
        or difference.output_tokens
    )


def _check_limit(ws: Workspace, run: RunState, call: CallState, event: Event) -> None:
    if run.is_alerted or not run.trace_id:
        return
    limit_usd = ws.rules.run_cost_limit_usd(ws.tenant_id, ws.agent_id)
    if run.cost_usd < limit_usd:
        return
    run.is_alerted = True
    alert = alert_run_cost(
        tenant_id=ws.tenant_id,
        agent_id=ws.agent_id,
        trace_id=run.trace_id,
        run_id=run.run_id,
        span_id=call.span_id,
        session_key=run.session_key,
        model=f"{call.provider}/{call.model}",
        cost_usd=run.cost_usd,
        limit_usd=limit_usd,
        num_model_calls=run.num_calls,
        usage=run.usage,
        at_us=event.at_us,
        rev=ws.rev,
    )
    ws.alerts[alert.alert_id] = alert


# --- the one call whose message never came


def _is_missing(call: CallState) -> bool:
    return call.message_usage is None and call.diagnostic_usage is None and not call.is_failed


def _note_missing(run: RunState, call: CallState, was_missing: bool) -> None:
    is_missing = _is_missing(call)
    if is_missing == was_missing:
        return
    if is_missing and len(run.missing_ids) < MAX_MISSING:
        run.missing_ids = [*run.missing_ids, call.span_id]
    elif is_missing:
        run.num_missing_unnamed += 1
    elif call.span_id in run.missing_ids:
        run.missing_ids = [it for it in run.missing_ids if it != call.span_id]
    else:
        run.num_missing_unnamed -= 1


def settle_remainder(ws: Workspace, run: RunState, event: Event) -> None:
    """Give what the run's own sums leave over to the one call without tokens; take it back when that changes."""
    if not run.num_outputs and not run.remainder_id:
        return
    holder = ws.find_call(run.remainder_id) if run.remainder_id else None
    held = holder.remainder_usage if holder is not None and holder.usage is holder.remainder_usage else None
    left = run.reported_usage - run.usage + (held or NO_TOKENS)
    is_settled = bool(run.num_outputs) and run.num_outputs >= len(run.attempt_seqs)
    wanted = ""
    if is_settled and len(run.missing_ids) == 1 and not run.num_missing_unnamed and _is_amount(left):
        wanted = run.missing_ids[0]
    if holder is not None and (holder.span_id != wanted or held != left):
        count_usage(ws, run, holder, event, remainder=(None, None))
        run.remainder_id = ""
    if wanted and run.remainder_id != wanted and (call := ws.find_call(wanted)) is not None:
        count_usage(ws, run, call, event, remainder=(left, run.reported_usd - run.call_reported_usd))
        run.remainder_id = wanted
    is_mismatch = is_settled and not run.missing_ids and not _agree(run.reported_usage, run.usage)
    if is_mismatch and not run.is_mismatch:
        ws.counts["usage_mismatches"] += 1
    run.is_mismatch = is_mismatch


def _is_amount(usage: TokenUsage) -> bool:
    buckets = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens)
    return min(buckets) >= 0 and sum(buckets) > 0
