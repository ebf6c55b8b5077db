"""Tokens and dollars of model calls, and what they add to their run.

Upstream: messages (through the usage join), diagnostic events, the sums of ``llm_output``.
Downstream: ``CallState``; totals of runs; facts ``call_usage``.
Guarantee: however often and by whomever the tokens of a call are told, they count once: those of the message,
else of the diagnostic event, else what the run's own sum leaves for the one call that has none.
"""

from decimal import Decimal

from msgspec.structs import replace

from producers.contracts.event import Event
from producers.contracts.usage import OpenClawUsage, TokenUsage, reported_cost_usd
from stream_jobs.core.facts import Fact
from stream_jobs.core.state import NO_TOKENS, CallState, RunState
from stream_jobs.core.workspace import Workspace

# Calls without tokens that a run remembers by name; more only happen where no message hook is served at all.
MAX_MISSING = 32

# Sums over a long trace must stay within 64 bits, whatever an agent claims.
MAX_TOKENS = 10**12

_MAX_USD = Decimal(10) ** 9
# The finest amount that any column holds.
_FINEST_USD = Decimal("1e-12")
_ZERO = Decimal(0)


def dollars_of(text: str | None) -> Decimal | None:
    """Read OpenClaw's own estimate; None for what is no sensible amount.

    OpenClaw adds in floating point: 0.00495 comes as 0.0049499999999999995. Beyond the twelfth decimal is noise, and
    kept it would make the sum over the calls differ from the run's own.
    """
    if text is None:
        return None
    amount = Decimal(text)
    if not amount.is_finite() or abs(amount) >= _MAX_USD:
        return None
    finest = amount.quantize(_FINEST_USD)
    return amount if amount == finest else finest.normalize()


Told = tuple[TokenUsage | None, Decimal | None]


def usage_of(usage: OpenClawUsage | None) -> Told:
    """Read the tokens and the dollars of a usage object.

    Raises:
        ValueError: no model call can have used so many tokens, or so few.
    """
    if usage is None:
        return None, None
    tokens = TokenUsage.from_openclaw(usage)
    for name in TokenUsage.__struct_fields__:
        if not 0 <= getattr(tokens, name) <= MAX_TOKENS:
            raise ValueError(f"usage: {name} is {getattr(tokens, name)}; must be 0 to {MAX_TOKENS}")
    return tokens, dollars_of(reported_cost_usd(usage))


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
    was_unpriced, was_missing = _is_unpriced(call), is_missing(call)
    was_usd, was_usage = call.cost_usd, call.usage
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
    note_missing(run, call, was_missing)
    ws.touch(call)
    ws.touch(run)
    _note_difference(ws, call, event, was_usd, was_usage)


def price_again(ws: Workspace, run: RunState, call: CallState, price_id: str) -> bool:
    """Price a known call by today's list if that gives the expected price; return whether anything changed."""
    priced = _priced(ws, call)
    if priced == (call.cost_usd, call.price_id) or priced[1] != price_id:
        return False
    was_usd, was_unpriced = call.cost_usd, _is_unpriced(call)
    _add_to_run(run, call, -1)
    call.cost_usd, call.price_id = priced
    _add_to_run(run, call, 1)
    if _is_unpriced(call) and not was_unpriced:
        ws.counts["unpriced_calls"] += 1
    ws.touch(call)
    ws.touch(run)
    # Money of the day of the call: told as of now, it would look like a burst of spending.
    usd = (call.cost_usd or _ZERO) - (was_usd or _ZERO)
    if usd:
        ws.facts.append(Fact("call_usage", call.ref, call.started_at_us, usd=usd))
    return True


def _price(ws: Workspace, call: CallState) -> None:
    call.cost_usd, call.price_id = _priced(ws, call)


def _priced(ws: Workspace, call: CallState) -> tuple[Decimal | None, str]:
    usage = call.usage
    if usage is None:
        return None, ""
    price = ws.pricer.find_price(ws.tenant_id, call.provider, call.model, call.started_at_us)
    return (None, "") if price is None else (price.cost_usd(usage), price.price_id)


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


def _note_difference(
    ws: Workspace, call: CallState, event: Event, was_usd: Decimal | None, was_usage: TokenUsage | None
) -> None:
    usd = (call.cost_usd or _ZERO) - (was_usd or _ZERO)
    usage = (call.usage or NO_TOKENS) - (was_usage or NO_TOKENS)
    if usd or usage != NO_TOKENS:
        ws.facts.append(Fact("call_usage", call.ref, event.at_us, event.seq, usd, usage))


# --- the one call whose message never came


def is_missing(call: CallState) -> bool:
    """Whether a call should have tokens and nobody has told them."""
    return call.message_usage is None and call.diagnostic_usage is None and not call.is_failed


def note_missing(run: RunState, call: CallState, was_missing: bool) -> None:
    """Keep the run's list of calls without tokens up to date."""
    missing = is_missing(call)
    if missing == was_missing:
        return
    if missing and len(run.missing_ids) < MAX_MISSING:
        run.missing_ids = [*run.missing_ids, call.span_id]
    elif missing:
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
    left = _without_debt(run.reported_usage - run.usage + (held or NO_TOKENS))
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


def _without_debt(usage: TokenUsage) -> TokenUsage:
    """Keep the hour's part within the writes: sums of OpenClaw may not tell it where the messages did."""
    write_1h = max(0, min(usage.cache_write_1h_tokens, usage.cache_write_tokens))
    return usage if write_1h == usage.cache_write_1h_tokens else replace(usage, cache_write_1h_tokens=write_1h)


def _is_amount(usage: TokenUsage) -> bool:
    buckets = (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens, usage.output_tokens)
    return min(buckets) >= 0 and sum(buckets) > 0
