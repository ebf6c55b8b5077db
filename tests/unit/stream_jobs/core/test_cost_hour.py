"""Cache writes that are kept for an hour, as OpenClaw tells them: priced apart, and never counted below zero."""

import copy
from decimal import Decimal
from typing import Any

from producers.contracts.usage import TokenUsage
from stream_jobs.core.cost import PriceBook
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of

SCENARIO = "multi-tool"
PRICER = PriceBook.from_toml(
    '[[price]]\nprovider = "fake"\nmodel = "*"\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'
    'cache_read_usd_per_mtok = "0.3"\ncache_write_usd_per_mtok = "3.75"\ncache_write_1h_usd_per_mtok = "6"\n'
)


def is_answer(line: dict[str, Any]) -> bool:
    return line["hook"] == "before_message_write" and line["event"]["message"].get("role") == "assistant"


def with_writes(hour: int) -> list[dict[str, Any]]:
    """Move 100 tokens of each answer's input to the cache, some of them for an hour; sums do not tell the hour."""
    lines = copy.deepcopy(lines_of(SCENARIO))
    for line in lines:
        usage = line["event"]["message"]["usage"] if is_answer(line) else line["event"].get("usage")
        if usage and line["hook"] in ("before_message_write", "llm_output"):
            usage["cacheWrite"] = usage.get("cacheWrite", 0) + 100
            if is_answer(line) and hour:
                usage["cacheWrite1h"] = hour
    return lines


def cost(replay: Replay) -> Decimal:
    return sum((it.cost_usd for it in replay.of_kind("model_call") if it.cost_usd is not None), Decimal(0))


def test_an_hours_writes_cost_more() -> None:
    plain, hour = (Replay(pricer=PRICER).feed_each(events_of(with_writes(it)), 7) for it in (0, 40))
    num_calls = len(hour.of_kind("model_call"))
    assert num_calls > 1
    assert cost(hour) - cost(plain) == num_calls * 40 * (Decimal(6) - Decimal("3.75")) / 1_000_000
    assert [it.cache_write_tokens for it in hour.of_kind("model_call")] == [
        it.cache_write_tokens for it in plain.of_kind("model_call")
    ]


def test_more_hours_than_writes_are_cut_to_the_writes() -> None:
    exact, more = (Replay(pricer=PRICER).feed_each(events_of(with_writes(it)), 7) for it in (100, 900))
    assert cost(exact) == cost(more)
    assert more.rejects == []


def test_what_a_sum_leaves_over_has_no_hours_below_zero() -> None:
    lines = with_writes(40)
    last = max(number for number, line in enumerate(lines) if is_answer(line))
    # The sum of the attempt must tell of all calls, then one message may be missing.
    num_answers = sum(map(is_answer, lines))
    for line in lines:
        if line["hook"] == "llm_output" and line["event"].get("usage"):
            line["event"]["usage"]["cacheWrite"] += 100 * (num_answers - 1)
    del lines[last]
    replay = Replay(pricer=PRICER).feed_each(events_of(lines), 7)
    (left,) = (it for it in replay.of_kind("model_call") if it.usage_source == "remainder")
    assert left.cache_write_tokens == 100
    assert left.cost_usd == (
        3 * Decimal(left.input_tokens)
        + Decimal("0.3") * left.cache_read_tokens
        + Decimal("3.75") * left.cache_write_tokens
        + 15 * left.output_tokens
    ) / Decimal(1_000_000)
    assert replay.counts["usage_mismatches"] == 0


def test_a_row_holds_all_that_its_cost_is_made_of() -> None:
    for span in Replay(pricer=PRICER).feed_each(events_of(with_writes(40)), 7).of_kind("model_call"):
        assert span.cache_write_1h_tokens == 40
        price = PRICER.find_price(span.tenant_id, span.provider or "", span.model or "", span.started_at_us)
        assert price is not None
        buckets = {name: getattr(span, name) for name in TokenUsage.__struct_fields__}
        assert price.cost_usd(TokenUsage(**buckets)) == span.cost_usd
