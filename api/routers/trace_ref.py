"""Finds the trace that a path names.

Upstream: the routes below /v1/traces/{trace_id}.
Downstream: api/live, api/repositories/traces.py.
Guarantee: a trace of another tenant and one that does not exist give the same 404; a trace that runs is whole to the
last second, from the live window and the tables together.
"""

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from api.live.merge import merge_columns
from api.live.rows import row_of
from api.live.window import LiveTrace
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from api.repositories.traces import place_of
from api.schemas.traces import TraceSummary
from api.services import Services
from api.views.columns import SpanColumns
from infra.runtime.problem import Problem, not_found
from stream_jobs.contracts.trace import Trace

TraceId = Annotated[str, Path(min_length=1, max_length=128, description="The trace.")]
SpanId = Annotated[str, Path(min_length=1, max_length=128, description="The span.")]
AgentId = Annotated[
    str | None,
    Query(max_length=64, description="The OpenClaw install; needed only when two of them have a trace of this id."),
]


@dataclass(frozen=True, slots=True)
class TraceRef:
    """The trace that the request is about."""

    trace_id: str
    agent_id: str | None

    @property
    def missing(self) -> Problem:
        """404."""
        return not_found(f"there is no trace {self.trace_id}")


def _trace_ref(trace_id: TraceId, agent_id: AgentId = None) -> TraceRef:
    return TraceRef(trace_id, agent_id)


TraceRefDep = Annotated[TraceRef, Depends(_trace_ref)]


async def find_row(scope: Scope, services: Services, ref: TraceRef) -> dict[str, Any]:
    """Return the row of the trace.

    Raises:
        Problem: 404.
    """
    live = services.live.find_trace(scope, ref.trace_id, ref.agent_id)
    if live is not None and live.trace is not None and isinstance(value := live.trace.value(), Trace):
        return row_of(value)
    row = await services.traces.find(scope, ref.trace_id, ref.agent_id)
    if row is None:
        raise ref.missing
    return row


def find_live(scope: Scope, services: Services, row: dict[str, Any]) -> tuple[LiveTrace | None, bool]:
    """Return what the live window has of a trace's spans, and whether that is all of them."""
    live = services.live.find_trace(scope, row["trace_id"], row["agent_id"])
    if live is None or not live.spans:
        return None, False
    return live, len(live.spans) >= row["num_spans"]


async def find_place(scope: Scope, services: Services, ref: TraceRef) -> TracePlace:
    """Return where the trace lies.

    Raises:
        Problem: 404.
    """
    live = services.live.find_trace(scope, ref.trace_id, ref.agent_id)
    if live is not None:
        return TracePlace(ref.trace_id, date.fromisoformat(live.trace_date), live.agent_id)
    place = await services.traces.find_place(scope, ref.trace_id, ref.agent_id)
    if place is None:
        raise ref.missing
    return place


async def find_columns(scope: Scope, services: Services, ref: TraceRef) -> tuple[TraceSummary, SpanColumns, bool]:
    """Return the trace, the columns of its spans, and whether it has more spans than these.

    Raises:
        Problem: 404.
    """
    limit = services.settings.api_max_skeleton_spans
    place = services.traces.recall_place(scope, ref.trace_id, ref.agent_id)
    if place is not None and services.live.find_trace(scope, ref.trace_id, ref.agent_id) is None:
        # Both at once: the row needs as long a way to Trino and back as all the spans.
        row, (spans, truncated) = await asyncio.gather(
            find_row(scope, services, ref), services.spans.columns_of_trace(scope, place, limit=limit)
        )
        return TraceSummary.from_row(row), spans, truncated
    row = await find_row(scope, services, ref)
    live, is_whole = find_live(scope, services, row)
    spans, truncated = SpanColumns.of_rows([]), False
    if not is_whole:
        spans, truncated = await services.spans.columns_of_trace(scope, place_of(row), limit=limit)
    if live is not None:
        came_since = live.span_values()
        spans = await asyncio.to_thread(lambda: merge_columns(spans, came_since))
    if len(spans) > limit:
        spans, truncated = spans.first(limit), True
    return TraceSummary.from_row(row), spans, truncated
