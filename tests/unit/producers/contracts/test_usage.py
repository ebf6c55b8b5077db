"""Does input include what was cached? One answer for each shape, from what the makers document."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import pytest

from producers.contracts.usage import (
    OpenClawUsage,
    TokenUsage,
    from_anthropic,
    from_gemini,
    from_openai_chat,
    from_openai_responses,
    from_otel,
)


def openclaw(usage: Mapping[str, Any]) -> TokenUsage:
    return TokenUsage.from_openclaw(msgspec.convert(usage, OpenClawUsage))


class Case(NamedTuple):
    read: Callable[[Mapping[str, Any]], TokenUsage]
    told: dict[str, Any]
    includes_read: bool
    includes_write: bool
    output_includes_reasoning: bool
    total: int


# Each tells the same call: 700 fresh, 200 read from the cache, 100 written to it, 50 out of which 30 for reasoning.
CALLS = {
    "openclaw": Case(
        openclaw,
        {
            "input": 700,
            "cacheRead": 200,
            "cacheWrite": 100,
            "cacheWrite1h": 40,
            "output": 50,
            "reasoningTokens": 30,
            "totalTokens": 1050,
        },
        includes_read=False,
        includes_write=False,
        output_includes_reasoning=True,
        total=1050,
    ),
    "otel": Case(
        from_otel,
        {
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.cache_read.input_tokens": 200,
            "gen_ai.usage.cache_creation.input_tokens": 100,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.reasoning.output_tokens": 30,
        },
        includes_read=True,
        includes_write=True,
        output_includes_reasoning=True,
        total=1050,
    ),
    "openai chat": Case(
        from_openai_chat,
        {
            "prompt_tokens": 1000,
            "prompt_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 100, "audio_tokens": 0},
            "completion_tokens": 50,
            "completion_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 1050,
        },
        includes_read=True,
        includes_write=True,
        output_includes_reasoning=True,
        total=1050,
    ),
    "openai responses": Case(
        from_openai_responses,
        {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 100},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 1050,
        },
        includes_read=True,
        includes_write=True,
        output_includes_reasoning=True,
        total=1050,
    ),
    "anthropic": Case(
        from_anthropic,
        {
            "input_tokens": 700,
            "cache_read_input_tokens": 200,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 30},
        },
        includes_read=False,
        includes_write=False,
        output_includes_reasoning=True,
        total=1050,
    ),
    # Writes are not told: what is put into a cache is billed by the hour of keeping it.
    "gemini": Case(
        from_gemini,
        {
            "promptTokenCount": 900,
            "toolUsePromptTokenCount": 100,
            "cachedContentTokenCount": 200,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 30,
            "totalTokenCount": 1050,
        },
        includes_read=True,
        includes_write=False,
        output_includes_reasoning=False,
        total=1050,
    ),
}
WRITE_1H = {"openclaw": 40, "anthropic": 40}


@pytest.mark.parametrize("shape", CALLS)
def test_every_shape_tells_the_same_call(shape: str) -> None:
    case = CALLS[shape]
    usage = case.read(case.told)
    write = 0 if shape == "gemini" else 100
    assert usage == TokenUsage(
        input_tokens=800 - write,
        cache_read_tokens=200,
        cache_write_tokens=write,
        cache_write_1h_tokens=WRITE_1H.get(shape, 0),
        output_tokens=50,
        reasoning_tokens=30,
    )
    assert usage.total_tokens == case.total


READ_FIELD = {
    "openclaw": ("cacheRead",),
    "otel": ("gen_ai.usage.cache_read.input_tokens",),
    "openai chat": ("prompt_tokens_details", "cached_tokens"),
    "openai responses": ("input_tokens_details", "cached_tokens"),
    "anthropic": ("cache_read_input_tokens",),
    "gemini": ("cachedContentTokenCount",),
}
WRITE_FIELD = {
    "openclaw": ("cacheWrite",),
    "otel": ("gen_ai.usage.cache_creation.input_tokens",),
    "openai chat": ("prompt_tokens_details", "cache_write_tokens"),
    "openai responses": ("input_tokens_details", "cache_write_tokens"),
    "anthropic": ("cache_creation_input_tokens",),
}
REASONING_FIELD = {
    "openclaw": ("reasoningTokens",),
    "otel": ("gen_ai.usage.reasoning.output_tokens",),
    "openai chat": ("completion_tokens_details", "reasoning_tokens"),
    "openai responses": ("output_tokens_details", "reasoning_tokens"),
    "anthropic": ("output_tokens_details", "thinking_tokens"),
    "gemini": ("thoughtsTokenCount",),
}


def with_more(told: dict[str, Any], path: tuple[str, ...], more: int) -> dict[str, Any]:
    changed: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] += more
    return changed


@pytest.mark.parametrize("shape", CALLS)
def test_ten_more_read_tokens_are_fresh_ones_less_or_tokens_more(shape: str) -> None:
    case = CALLS[shape]
    before, after = case.read(case.told), case.read(with_more(case.told, READ_FIELD[shape], 10))
    assert after.cache_read_tokens == before.cache_read_tokens + 10
    assert after.input_tokens == before.input_tokens - (10 if case.includes_read else 0)


@pytest.mark.parametrize("shape", WRITE_FIELD)
def test_ten_more_written_tokens_are_fresh_ones_less_or_tokens_more(shape: str) -> None:
    case = CALLS[shape]
    before, after = case.read(case.told), case.read(with_more(case.told, WRITE_FIELD[shape], 10))
    assert after.cache_write_tokens == before.cache_write_tokens + 10
    assert after.input_tokens == before.input_tokens - (10 if case.includes_write else 0)


@pytest.mark.parametrize("shape", CALLS)
def test_ten_more_reasoning_tokens_are_output_or_within_it(shape: str) -> None:
    case = CALLS[shape]
    before, after = case.read(case.told), case.read(with_more(case.told, REASONING_FIELD[shape], 10))
    assert after.reasoning_tokens == before.reasoning_tokens + 10
    assert after.output_tokens == before.output_tokens + (0 if case.output_includes_reasoning else 10)


@pytest.mark.parametrize(
    ("shape", "path", "more", "named"),
    [
        ("otel", READ_FIELD["otel"], 1_000, "gen_ai.usage.input_tokens"),
        ("openai chat", READ_FIELD["openai chat"], 1_000, "prompt_tokens"),
        ("openai chat", WRITE_FIELD["openai chat"], 1_000, "prompt_tokens"),
        ("openai responses", READ_FIELD["openai responses"], 1_000, "input_tokens"),
        ("anthropic", ("cache_creation", "ephemeral_1h_input_tokens"), 1_000, "cache_creation_input_tokens"),
        ("gemini", READ_FIELD["gemini"], 1_000, "promptTokenCount"),
        ("anthropic", ("input_tokens",), -1_000, "input_tokens is -300"),
        ("gemini", ("thoughtsTokenCount",), -1_000, "thoughtsTokenCount is -970"),
        ("openai chat", ("completion_tokens",), -1_000, "completion_tokens is -950"),
        ("openai responses", ("output_tokens_details", "reasoning_tokens"), -31, "reasoning_tokens is -1"),
    ],
)
def test_what_would_be_negative_is_refused_by_name(shape: str, path: tuple[str, ...], more: int, named: str) -> None:
    case = CALLS[shape]
    with pytest.raises(ValueError, match=named):
        case.read(with_more(case.told, path, more))


@pytest.mark.parametrize("value", [1.5, "7", True, [1]])
def test_what_is_no_count_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="output_tokens"):
        from_anthropic({"input_tokens": 1, "output_tokens": value})
    with pytest.raises(ValueError, match="prompt_tokens_details"):
        from_openai_chat({"prompt_tokens": 1, "prompt_tokens_details": value})


@pytest.mark.parametrize("shape", [it for it in CALLS if it != "openclaw"])
def test_what_is_absent_or_null_is_none(shape: str) -> None:
    case = CALLS[shape]
    assert case.read({}) == TokenUsage()
    assert case.read(dict.fromkeys(case.told)) == TokenUsage()


def test_anthropic_may_tell_only_the_lifetimes() -> None:
    told = {"cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}}
    assert from_anthropic(told) == TokenUsage(cache_write_tokens=100, cache_write_1h_tokens=40)


def test_openclaws_hour_is_within_its_writes() -> None:
    assert openclaw({"cacheWrite": 5, "cacheWrite1h": 9}).cache_write_1h_tokens == 5
