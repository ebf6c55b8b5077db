"""Tokens of a model call in four buckets that do not overlap.

Upstream: usage objects of OpenClaw's messages, hooks and diagnostic events.
Downstream: cost, roll-ups, tables.
Guarantee: ``input + cache_read + cache_write`` is the whole prompt; nothing is counted in two buckets.
"""

from typing import Self

import msgspec


class OpenClawUsage(msgspec.Struct, frozen=True, rename="camel"):
    """OpenClaw's own usage object; its ``input`` excludes what was read from or written to the cache."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning_tokens: int = 0
    cost: msgspec.Raw = msgspec.Raw(b"null")


class _Cost(msgspec.Struct, frozen=True):
    total: float | None = None


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Four disjoint buckets; reasoning is a part of output, kept for information."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """Add bucket by bucket."""
        return TokenUsage(
            input_tokens=self.input_tokens + other.input_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    def __sub__(self, other: "TokenUsage") -> "TokenUsage":
        """Subtract bucket by bucket; a result may be negative, which callers treat as a mismatch."""
        return TokenUsage(
            input_tokens=self.input_tokens - other.input_tokens,
            cache_read_tokens=self.cache_read_tokens - other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens - other.cache_write_tokens,
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
        """Take OpenClaw's buckets, which are disjoint already (measured over all captures)."""
        return cls(
            input_tokens=usage.input,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            output_tokens=usage.output,
            reasoning_tokens=usage.reasoning_tokens,
        )


def reported_cost_usd(usage: OpenClawUsage) -> str | None:
    """OpenClaw's own estimate for the call, as the decimal text of its number; None when it gave none."""
    if bytes(usage.cost) == b"null":
        return None
    try:
        total = msgspec.json.decode(usage.cost, type=_Cost).total
    except msgspec.ValidationError:
        return None
    return None if total is None else repr(total)
