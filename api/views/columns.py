"""The spans of one trace as columns: what skeleton, timeline, call graph and diff are made of.

Upstream: api/repositories/spans.py.
Downstream: the other modules of this folder.
Guarantee: all columns have one length; rows are in the order they started, a parent before its children when both
started at once. Instants are UTC microseconds, money is an integer of 1e-12 dollars (exact, as the table holds it).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Self

MONEY_SCALE = 12
_UNIT = Decimal(10) ** MONEY_SCALE


@dataclass(frozen=True, slots=True)
class SpanColumns:
    """One list per column; None where a span has no such value."""

    span_id: list[str]
    parent_span_id: list[str | None]
    kind: list[str]
    name: list[str]
    status: list[str]
    started_us: list[int]
    ended_us: list[int | None]
    agent: list[str | None]
    provider: list[str | None]
    model: list[str | None]
    tool: list[str | None]
    input_tokens: list[int | None]
    cache_read_tokens: list[int | None]
    cache_write_tokens: list[int | None]
    output_tokens: list[int | None]
    cost: list[int | None]
    flags: list[str | None]

    @classmethod
    def of_rows(cls, rows: Iterable[Sequence[Any]]) -> Self:
        """Make it from rows whose values are in the order of the fields."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        return cls(*(columns or [[] for _ in fields(cls)]))

    def first(self, count: int) -> Self:
        """The rows that started first."""
        return type(self)(*(getattr(self, field.name)[:count] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.span_id)

    def parents(self) -> list[int]:
        """Index of each span's parent; -1 for roots and for spans whose parent is not among them."""
        place = {span_id: index for index, span_id in enumerate(self.span_id)}
        return [-1 if parent is None else place.get(parent, -1) for parent in self.parent_span_id]

    def children(self) -> tuple[list[int], list[list[int]]]:
        """Return the roots and the children of each span, both in the order they started.

        A ring of parents, which only a faulty source can make, is cut open at its earliest span.
        """
        parents = _without_rings(self.parents())
        below: list[list[int]] = [[] for _ in parents]
        roots: list[int] = []
        for index, parent in enumerate(parents):
            (roots if parent < 0 else below[parent]).append(index)
        return roots, below

    def span_of_time(self) -> tuple[int, int]:
        """First start and last end of all spans; a running span ends where the last known instant is."""
        start = min(self.started_us, default=0)
        end = max((end for end in self.ended_us if end is not None), default=start)
        return start, max(end, max(self.started_us, default=start))

    def ends(self) -> list[int]:
        """End of each span, never before its start; running spans end with the trace."""
        last = self.span_of_time()[1]
        return [
            max(start, last if end is None else end) for start, end in zip(self.started_us, self.ended_us, strict=True)
        ]

    def tokens(self, index: int) -> tuple[int, int, int, int]:
        """Fresh input, cache read, cache write and output tokens of a span."""
        return (
            self.input_tokens[index] or 0,
            self.cache_read_tokens[index] or 0,
            self.cache_write_tokens[index] or 0,
            self.output_tokens[index] or 0,
        )


def usd(amount: int) -> Decimal:
    """Dollars of an integer of 1e-12 dollars, exact."""
    return Decimal(amount).scaleb(-MONEY_SCALE)


def scaled(amount: Decimal) -> int:
    """Integer of 1e-12 dollars."""
    return int(amount * _UNIT)


def _without_rings(parents: list[int]) -> list[int]:
    cut = list(parents)
    seen = bytearray(len(cut))  # 0 not seen, 1 on the way up from here, 2 known to end at a root
    for index in range(len(cut)):
        way = []
        at = index
        while at >= 0 and not seen[at]:
            seen[at] = 1
            way.append(at)
            at = cut[at]
        if at >= 0 and seen[at] == 1:
            ring = way[way.index(at) :]
            cut[min(ring)] = -1
        for step in way:
            seen[step] = 2
    return cut
