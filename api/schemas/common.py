"""Bricks of the answers: tokens, money, instants.

Upstream: rows of the repositories.
Downstream: the other schemas.
Guarantee: money is a decimal string or null, never a float; the four token counts are disjoint.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from api.kit.values import decimal_text

Usd = Annotated[
    Decimal | None,
    PlainSerializer(lambda value: None if value is None else decimal_text(value), return_type=str | None),
    Field(description="Dollars as decimal text; null when no price is known, which is not 0.", examples=["0.0125"]),
]


class Answer(BaseModel):
    """Base of every answer: fields are fixed, unknown ones are a bug."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tokens(Answer):
    """Tokens in four buckets that do not overlap."""

    input: int = Field(description="Fresh prompt tokens.")
    cache_read: int = Field(description="Prompt tokens read from the cache.")
    cache_write: int = Field(description="Prompt tokens written to the cache.")
    output: int = Field(description="Output tokens, reasoning included.")


def tokens_of(row: Mapping[str, Any], prefix: str = "") -> Tokens | None:
    """Return the tokens of a row; None when it spent none, as all spans but model calls do."""
    names = ("input", "cache_read", "cache_write", "output")
    counts = {name: row[f"{prefix}{name}_tokens"] for name in names}
    if all(count is None for count in counts.values()):
        return None
    return Tokens(**{name: count or 0 for name, count in counts.items()})
