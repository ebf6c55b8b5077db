"""Whatever a call has used, each shape comes to four buckets whose sum is what its source calls the total."""

from hypothesis import given, settings
from hypothesis import strategies as st

from producers.contracts.usage import (
    OpenClawUsage,
    TokenUsage,
    from_anthropic,
    from_gemini,
    from_openai_chat,
    from_openai_responses,
    from_otel,
)

counts = st.integers(0, 10**9)
several = settings(max_examples=200, deadline=None)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    write, output = draw(counts), draw(counts)
    return TokenUsage(
        input_tokens=draw(counts),
        cache_read_tokens=draw(counts),
        cache_write_tokens=write,
        cache_write_1h_tokens=draw(st.integers(0, write)),
        output_tokens=output,
        reasoning_tokens=draw(st.integers(0, output)),
    )


def without_hour(usage: TokenUsage) -> TokenUsage:
    return usage - TokenUsage(cache_write_1h_tokens=usage.cache_write_1h_tokens)


@several
@given(usage=usages())
def test_openclaw(usage: TokenUsage) -> None:
    told = OpenClawUsage(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_tokens,
        cache_write=usage.cache_write_tokens,
        cache_write_1h=usage.cache_write_1h_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
    assert TokenUsage.from_openclaw(told) == usage
    assert told.input + told.cache_read + told.cache_write + told.output == usage.total_tokens


@several
@given(usage=usages())
def test_openai(usage: TokenUsage) -> None:
    details = {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens}
    reasoning = {"reasoning_tokens": usage.reasoning_tokens}
    chat = {
        "prompt_tokens": usage.prompt_tokens,
        "prompt_tokens_details": details,
        "completion_tokens": usage.output_tokens,
        "completion_tokens_details": reasoning,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
    responses = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": reasoning,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
    assert from_openai_chat(chat) == from_openai_responses(responses) == without_hour(usage)
    assert from_openai_chat(chat).total_tokens == chat["total_tokens"]


@several
@given(usage=usages())
def test_anthropic(usage: TokenUsage) -> None:
    told = {
        "input_tokens": usage.input_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
    assert from_anthropic(told) == usage


@several
@given(prompt=counts, share=st.floats(0, 1), tools=counts, answer=counts, thoughts=counts)
def test_gemini(prompt: int, share: float, tools: int, answer: int, thoughts: int) -> None:
    told = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": int(prompt * share),
        "toolUsePromptTokenCount": tools,
        "candidatesTokenCount": answer,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + tools + answer + thoughts,
    }
    usage = from_gemini(told)
    assert usage.total_tokens == told["totalTokenCount"]
    assert usage.cache_read_tokens == told["cachedContentTokenCount"]
    assert usage.reasoning_tokens == thoughts


@several
@given(usage=usages())
def test_otel(usage: TokenUsage) -> None:
    told = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    assert from_otel(told) == without_hour(usage)


@several
@given(left=usages(), right=usages())
def test_sums_keep_every_bucket(left: TokenUsage, right: TokenUsage) -> None:
    assert left + right - right == left
    assert (left + right).total_tokens == left.total_tokens + right.total_tokens
