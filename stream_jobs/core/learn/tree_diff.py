"""The structural difference of two traces, and what each difference costs.

Upstream: the spans of both as columns.
Downstream: GET /v1/traces/{trace_id}/diff/{other_id}, `clawtrace diff`; ``run_diff``.
Guarantee: the costs of the differences add up to the difference of the costs, exactly: each span of either trace
is in one difference at most, and a pair of spans that is in none costs the same in both.

Trees are aligned from the roots down: the children of an aligned pair are aligned in their order by kind and name,
with the longest common subsequence; what has no partner is one difference with all that is below it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# Above this product of lengths, two lists of children are aligned block by block: still in order, maybe not longest.
_MAX_CELLS = 1_000_000

Change = Literal["added", "removed", "changed"]
Label = tuple[str, str]


class Spans(Protocol):
    """The spans of a trace, one list per column; cost in 1e-12 dollars."""

    @property
    def kind(self) -> list[str]: ...
    @property
    def name(self) -> list[str]: ...
    @property
    def status(self) -> list[str]: ...
    @property
    def cost(self) -> list[int | None]: ...

    def __len__(self) -> int: ...

    def children(self) -> tuple[list[int], list[list[int]]]:
        """Return the roots and the children of each span, both in the order they started."""
        ...

    def tokens(self, index: int) -> Sequence[int]:
        """Tokens of a span, bucket by bucket."""
        ...


LabelOf = Callable[[Spans, int], Label]


def label_by_name(spans: Spans, index: int) -> Label:
    """What must be equal in spans that are aligned: kind and name."""
    return spans.kind[index], spans.name[index]


@dataclass(frozen=True, slots=True)
class Totals:
    """Cost in 1e-12 dollars and tokens; unpriced spans count as 0 and are counted."""

    num_spans: int
    cost: int
    tokens: int
    num_unpriced: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: a pair that changed, or a subtree that only one trace has.

    ``path`` is the names from the root down to the span. For ``changed`` the totals are the two spans' own.
    """

    change: Change
    path: tuple[str, ...]
    kind: str
    before: int | None
    after: int | None
    totals_before: Totals
    totals_after: Totals

    @property
    def cost(self) -> int:
        """What the second trace costs more, in 1e-12 dollars."""
        return self.totals_after.cost - self.totals_before.cost


@dataclass(frozen=True, slots=True)
class TraceDiff:
    """All differences, the dearest first, and the totals they add up to."""

    before: Totals
    after: Totals
    num_aligned: int
    differences: list[Difference]

    @property
    def cost(self) -> int:
        """What the second trace costs more, in 1e-12 dollars."""
        return self.after.cost - self.before.cost


_NOTHING = Totals(0, 0, 0, 0)


def diff_traces(before: Spans, after: Spans, label_of: LabelOf = label_by_name) -> TraceDiff:
    """Compare two traces; spans whose labels differ are never aligned."""
    first, second = _Side(before, label_of), _Side(after, label_of)
    found: list[Difference] = []
    num_aligned = 0
    ahead: list[tuple[tuple[str, ...], list[int], list[int]]] = [((), first.roots, second.roots)]
    while ahead:
        path, left, right = ahead.pop()
        for one, other in _aligned(first, left, second, right):
            side, index = (first, one) if one is not None else (second, other)
            assert index is not None
            here = (*path, side.spans.name[index])
            kind = side.spans.kind[index]
            if one is not None and other is not None:
                num_aligned += 1
                own = (_own(before, one), _own(after, other))
                if own[0] != own[1] or before.status[one] != after.status[other]:
                    found.append(Difference("changed", here, kind, one, other, *own))
                if first.below[one] or second.below[other]:
                    ahead.append((here, first.below[one], second.below[other]))
            elif one is not None:
                found.append(Difference("removed", here, kind, one, None, first.subtree[one], _NOTHING))
            else:
                found.append(Difference("added", here, kind, None, index, _NOTHING, second.subtree[index]))
    found.sort(key=lambda difference: (-abs(difference.cost), difference.path, difference.change))
    return TraceDiff(first.total, second.total, num_aligned, found)


class _Side:
    """One trace with what is below each of its spans."""

    def __init__(self, spans: Spans, label_of: LabelOf) -> None:
        self.spans, self._label_of = spans, label_of
        self.roots, self.below = spans.children()
        self.subtree = [_own(spans, index) for index in range(len(spans))]
        order = list(self.roots)
        for index in order:
            order.extend(self.below[index])
        for index in reversed(order):
            self.subtree[index] = _sum(self.subtree[index], *(self.subtree[child] for child in self.below[index]))
        self.total = _sum(*(self.subtree[root] for root in self.roots))

    def labels(self, indices: list[int]) -> list[Label]:
        return [self._label_of(self.spans, index) for index in indices]


def _aligned(first: _Side, left: list[int], second: _Side, right: list[int]) -> Iterator[tuple[int | None, int | None]]:
    """Yield pairs, and what has no partner with None, in order."""
    at = [0, 0]
    for one, other in [*align(first.labels(left), second.labels(right)), (len(left), len(right))]:
        yield from ((index, None) for index in left[at[0] : one])
        yield from ((None, index) for index in right[at[1] : other])
        if one < len(left):
            yield left[one], right[other]
        at = [one + 1, other + 1]


def align(left: list[Label], right: list[Label]) -> list[tuple[int, int]]:
    """Positions of equal labels, growing in both lists: as many as can be, for lists that are not very long."""
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    end = 0
    while end < min(len(left), len(right)) - start and left[-1 - end] == right[-1 - end]:
        end += 1
    middle = (left[start : len(left) - end], right[start : len(right) - end])
    pairs = [(index, index) for index in range(start)]
    pairs += [(start + one, start + other) for one, other in _align_blocks(*middle)]
    pairs += [(len(left) - back, len(right) - back) for back in range(end, 0, -1)]
    return pairs


def _align_blocks(left: list[Label], right: list[Label]) -> Iterator[tuple[int, int]]:
    num_blocks = 1
    while len(left) * len(right) > _MAX_CELLS * num_blocks * num_blocks:
        num_blocks += 1
    for block in range(num_blocks):
        low = (len(left) * block // num_blocks, len(right) * block // num_blocks)
        high = (len(left) * (block + 1) // num_blocks, len(right) * (block + 1) // num_blocks)
        for one, other in _longest(left[low[0] : high[0]], right[low[1] : high[1]]):
            yield low[0] + one, low[1] + other


def _longest(left: list[Label], right: list[Label]) -> list[tuple[int, int]]:
    """Longest common subsequence."""
    # lengths[i][j]: of the tails that begin at i and j.
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for one in range(len(left) - 1, -1, -1):
        row, under, label = lengths[one], lengths[one + 1], left[one]
        for other in range(len(right) - 1, -1, -1):
            row[other] = under[other + 1] + 1 if label == right[other] else max(under[other], row[other + 1])
    pairs: list[tuple[int, int]] = []
    one = other = 0
    while one < len(left) and other < len(right):
        if left[one] == right[other]:
            pairs.append((one, other))
            one, other = one + 1, other + 1
        elif lengths[one + 1][other] >= lengths[one][other + 1]:
            one += 1
        else:
            other += 1
    return pairs


def _own(spans: Spans, index: int) -> Totals:
    tokens, cost = sum(spans.tokens(index)), spans.cost[index]
    return Totals(1, cost or 0, tokens, int(cost is None and tokens > 0))


def _sum(*parts: Totals) -> Totals:
    return Totals(
        sum(part.num_spans for part in parts),
        sum(part.cost for part in parts),
        sum(part.tokens for part in parts),
        sum(part.num_unpriced for part in parts),
    )
