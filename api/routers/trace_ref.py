"""Finds the trace that a path names.

Upstream: the routes below /v1/traces/{trace_id}.
Downstream: api/repositories/traces.py.
Guarantee: a trace of another tenant and one that does not exist give the same 404.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query

from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from api.repositories.traces import place_of
from api.schemas.traces import TraceSummary
from api.services import Services
from api.views.columns import SpanColumns
from infra.runtime.problem import Problem, not_found

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
    row = await services.traces.find(scope, ref.trace_id, ref.agent_id)
    if row is None:
        raise ref.missing
    return row


async def find_place(scope: Scope, services: Services, ref: TraceRef) -> TracePlace:
    """Return where the trace lies.

    Raises:
        Problem: 404.
    """
    place = await services.traces.find_place(scope, ref.trace_id, ref.agent_id)
    if place is None:
        raise ref.missing
    return place


async def find_columns(scope: Scope, services: Services, ref: TraceRef) -> tuple[TraceSummary, SpanColumns, bool]:
    """Return the trace, the columns of its spans, and whether it has more spans than these.

    Raises:
        Problem: 404.
    """
    row = await find_row(scope, services, ref)
    limit = services.settings.api_max_skeleton_spans
    spans, truncated = await services.spans.columns_of_trace(scope, place_of(row), limit=limit)
    return TraceSummary.from_row(row), spans, truncated
