"""The timeline of a trace: a lane for each span, and the critical path.

Upstream: SpanColumns.
Downstream: GET /v1/traces/{trace_id}/timeline.
Guarantee: no two spans of one lane overlap, and there are no more lanes than spans at the busiest instant; the
segments of the critical path follow each other without gap from the start of the trace to its end.
"""

import heapq
from dataclasses import dataclass

from api.views.columns import SpanColumns


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the critical path: the span that everything waited for; -1 while no span ran."""

    index: int
    from_us: int
    to_us: int


def assign_lanes(spans: SpanColumns) -> list[int]:
    """Return the lane of each span: the lowest that is free when it starts.

    A span that ends at the instant at which another starts leaves its lane to it; one without length holds its lane
    for that instant.
    """
    ends = spans.ends()
    busy: list[tuple[int, int]] = []
    free: list[int] = []
    num_lanes = 0
    # Spans come in the order they started, but a test or a caller may not keep to it.
    order = sorted(range(len(spans)), key=spans.started_us.__getitem__)
    lanes = [0] * len(spans)
    for index in order:
        start = spans.started_us[index]
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = num_lanes
            num_lanes += 1
        lanes[index] = lane
        heapq.heappush(busy, (max(ends[index], start + 1), lane))
    return lanes


def critical_path(spans: SpanColumns) -> list[Segment]:
    """Return what the trace waited for, first to last.

    Backwards from the end: the span that ended last is what was waited for, within it its child that ended last, and
    so on; before that child, the child that ended last before it started. What outlives its parent counts up to the
    parent's end.
    """
    if not len(spans):
        return []
    roots, below = spans.children()
    ends = spans.ends()
    start, end = spans.span_of_time()
    found: list[Segment] = []
    # Frames of the walk: span, where it begins, how far back it is told, its children from the last to the first.
    frames = [_Frame(-1, start, end, _by_end(roots, ends, end))]
    while frames:
        frame = frames[-1]
        child = frame.next_child(spans.started_us, ends)
        if child is None:
            frame.tell(frame.start_us, found)
            frames.pop()
            if frames:
                frames[-1].told_us = min(frames[-1].told_us, frame.start_us)
            continue
        child_end = min(ends[child], frame.told_us)
        frame.tell(child_end, found)
        child_start = max(spans.started_us[child], frame.start_us)
        frames.append(_Frame(child, child_start, child_end, _by_end(below[child], ends, child_end)))
    found.reverse()
    return found


def _by_end(indices: list[int], ends: list[int], latest: int) -> list[int]:
    """Spans with the one that ended last at the end; ends beyond ``latest`` count as that."""
    return sorted(indices, key=lambda index: (min(ends[index], latest), index))


@dataclass(slots=True)
class _Frame:
    index: int
    start_us: int
    told_us: int
    children: list[int]

    def next_child(self, started_us: list[int], ends: list[int]) -> int | None:
        """The child that was waited for before what is told already."""
        while self.children:
            child = self.children.pop()
            if max(started_us[child], self.start_us) < min(ends[child], self.told_us):
                return child
        return None

    def tell(self, from_us: int, found: list[Segment]) -> None:
        """Note that from there to what is told already, this very span was waited for."""
        if from_us < self.told_us:
            found.append(Segment(self.index, from_us, self.told_us))
            self.told_us = from_us
