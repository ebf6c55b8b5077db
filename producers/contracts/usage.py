"""Tokens of a model call in four buckets that do not overlap, whatever shape they came in.

Upstream: usage objects of OpenClaw's messages, hooks and diagnostic events; of the APIs of Anthropic, Google and
OpenAI; attributes of OpenTelemetry's GenAI spans.
Downstream: cost, roll-ups, tables.
Guarantee: ``input + cache_read + cache_write`` is the whole prompt; nothing is counted in two buckets; a usage whose
parts are greater than their whole is refused by the name of the field.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec


class OpenClawUsage(msgspec.Struct, frozen=True, rename="camel"):
    """OpenClaw's own usage object; its ``input`` excludes what was read from or written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = msgspec.field(default=0, name="cacheWrite1h")
    reasoning_tokens: int = 0
    cost: msgspec.Raw = msgspec.Raw(b"null")


class _Cost(msgspec.Struct, frozen=True):
    total: float | None = None


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Four disjoint buckets.

    ``cache_write_1h_tokens`` is the part of ``cache_write_tokens`` that was written to be kept for an hour, which has
    a price of its own; ``reasoning_tokens`` is a part of output, kept for information.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Add bucket by bucket."""
        return TokenUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    def __sub__(self, other: "TokenUsage") -> "TokenUsage":
        """Subtract bucket by bucket; a result may be negative, which callers treat as a mismatch."""
        return TokenUsage(
            input_tokens=self.input_tokens - other.input_tokens,
            cache_read_tokens=self.cache_read_tokens - other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens - other.cache_write_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens - other.cache_write_1h_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
            reasoning_tokens=self.reasoning_tokens - other.reasoning_tokens,
        )

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt: fresh, read from the cache, written to the cache."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def total_tokens(self) -> int:
        """Prompt and output."""
        return self.prompt_tokens + self.output_tokens

    @classmethod
    def from_openclaw(cls, usage: OpenClawUsage) -> Self:
        """Take OpenClaw's buckets, which are disjoint already (measured over all captures).

        The hour's part is cut to what was written at all, as OpenClaw does before it prices it.
        """
        return cls(
            input_tokens=usage.input,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            cache_write_1h_tokens=min(usage.cache_write_1h, usage.cache_write),
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning_tokens,
        )


def from_openai_chat(usage: Mapping[str, Any]) -> TokenUsage:
    """OpenAI Chat Completions ``usage``: ``prompt_tokens`` includes what was read from and written to the cache.

    Raises:
        ValueError: a count is none, or a part is greater than its whole; the text names the field.
    """
    return _from_whole_prompt(
        usage, "prompt_tokens", "prompt_tokens_details", "completion_tokens", "completion_tokens_details"
    )


def from_openai_responses(usage: Mapping[str, Any]) -> TokenUsage:
    """OpenAI Responses ``usage``: ``input_tokens`` includes what was read from and written to the cache.

    Raises:
        ValueError: a count is none, or a part is greater than its whole; the text names the field.
    """
    return _from_whole_prompt(usage, "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details")


def _from_whole_prompt(
    usage: Mapping[str, Any], prompt: str, prompt_details: str, output: str, output_details: str
) -> TokenUsage:
    parts, output_parts = _inner(usage, prompt_details), _inner(usage, output_details)
    read = _count(parts, "cached_tokens", f"{prompt_details}.")
    write = _count(parts, "cache_write_tokens", f"{prompt_details}.")
    return TokenUsage(
        input_tokens=_rest(_count(usage, prompt), read + write, prompt, f"{prompt_details} in it"),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=_count(usage, output),
        reasoning_tokens=_count(output_parts, "reasoning_tokens", f"{output_details}."),
    )


def from_anthropic(usage: Mapping[str, Any]) -> TokenUsage:
    """Anthropic Messages ``usage``: ``input_tokens`` is only what the cache was not concerned with.

    Raises:
        ValueError: a count is none, or a part is greater than its whole; the text names the field.
    """
    lifetimes = _inner(usage, "cache_creation")
    write = _count(usage, "cache_creation_input_tokens")
    write_1h = _count(lifetimes, "ephemeral_1h_input_tokens", "cache_creation.")
    if not write:
        write = write_1h + _count(lifetimes, "ephemeral_5m_input_tokens", "cache_creation.")
    _rest(write, write_1h, "cache_creation_input_tokens", "cache_creation.ephemeral_1h_input_tokens")
    return TokenUsage(
        input_tokens=_count(usage, "input_tokens"),
        cache_read_tokens=_count(usage, "cache_read_input_tokens"),
        cache_write_tokens=write,
        cache_write_1h_tokens=write_1h,
        output_tokens=_count(usage, "output_tokens"),
        reasoning_tokens=_count(_inner(usage, "output_tokens_details"), "thinking_tokens", "output_tokens_details."),
    )


def from_gemini(usage: Mapping[str, Any]) -> TokenUsage:
    """Gemini ``usageMetadata``: the prompt includes what was cached; thoughts are beside the candidates.

    Results of tools that the server called (``toolUsePromptTokenCount``) are input beside the prompt.

    Raises:
        ValueError: a count is none, or a part is greater than its whole; the text names the field.
    """
    read = _count(usage, "cachedContentTokenCount")
    fresh = _rest(_count(usage, "promptTokenCount"), read, "promptTokenCount", "cachedContentTokenCount")
    thoughts = _count(usage, "thoughtsTokenCount")
    return TokenUsage(
        input_tokens=fresh + _count(usage, "toolUsePromptTokenCount"),
        cache_read_tokens=read,
        output_tokens=_count(usage, "candidatesTokenCount") + thoughts,
        reasoning_tokens=thoughts,
    )


_OTEL: Final = "gen_ai.usage."


def from_otel(attributes: Mapping[str, Any]) -> TokenUsage:
    """Attributes ``gen_ai.usage.*`` of OpenTelemetry: input includes the cache, output the reasoning.

    Raises:
        ValueError: a count is none, or a part is greater than its whole; the text names the field.
    """
    read = _count(attributes, f"{_OTEL}cache_read.input_tokens")
    write = _count(attributes, f"{_OTEL}cache_creation.input_tokens")
    whole = _count(attributes, f"{_OTEL}input_tokens")
    return TokenUsage(
        input_tokens=_rest(whole, read + write, f"{_OTEL}input_tokens", f"{_OTEL}cache_* in it"),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=_count(attributes, f"{_OTEL}output_tokens"),
        reasoning_tokens=_count(attributes, f"{_OTEL}reasoning.output_tokens"),
    )


def _inner(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = usage.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, Mapping):
        raise ValueError(f"usage: {name} is no object; send what the API answered")
    return inner


def _count(usage: Mapping[str, Any], name: str, path: str = "") -> int:
    count = usage.get(name)
    if count is None:
        return 0
    # A bool is an int to Python.
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ValueError(f"usage: {path}{name} is {count!r}; must be a whole number, 0 or more")
    return count


def _rest(whole: int, part: int, whole_name: str, part_name: str) -> int:
    if part > whole:
        raise ValueError(f"usage: {whole_name} is {whole}, less than its part {part_name}, which is {part}")
    return whole - part


def reported_cost_usd(usage: OpenClawUsage) -> str | None:
    """OpenClaw's own estimate for the call, as the decimal text of its number; None when it gave none."""
    if bytes(usage.cost) == b"null":
        return None
    try:
        total = msgspec.json.decode(usage.cost, type=_Cost).total
    except msgspec.ValidationError:
        return None
    return None if total is None else repr(total)
