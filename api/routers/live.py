"""GET /v1/live: what happens now, as server-sent events.

Upstream: clients with a key or a session.
Downstream: api/live.
Guarantee: a caller gets the own tenant's events and nothing else, each once.
"""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from api.access.roles import ViewerDep, door_of
from api.kit.sse import stream_response
from api.live.records import EVENT_KINDS, EventKind
from api.live.response import LiveResponse
from api.live.stream import LiveFilter
from api.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["live"])

_ANSWER = stream_response(
    "Events span, trace, alert, verdict and missed, each with a JSON object as data: a span as in "
    "`GET /v1/traces/{trace_id}` with trace_id, agent_id and trace_date; a trace as in `GET /v1/traces`; an alert "
    "as in `GET /v1/alerts` without marks; a verdict with scope, scope_id, action and reason; missed with num, "
    "from and to."
)


@router.get(
    "/live",
    summary="Watch what happens",
    response_class=StreamingResponse,
    responses=_ANSWER,
)
async def watch(
    request: Request,
    caller: ViewerDep,
    services: ServicesDep,
    agent_id: Annotated[str | None, Query(max_length=64, description="Only this OpenClaw install.")] = None,
    trace_id: Annotated[
        str | None, Query(max_length=128, description="Only this trace; verdicts belong to none.")
    ] = None,
    kind: Annotated[list[EventKind] | None, Query(description="Only these events; may be given several times.")] = None,
    last_event_id: Annotated[str | None, Header(max_length=2_000, description="Id of the last event one has.")] = None,
    after: Annotated[
        str | None, Query(max_length=2_000, description="The same, for clients that cannot set the header.")
    ] = None,
) -> StreamingResponse:
    """Watch spans, traces, alerts and verdicts as they happen.

    A stream lasts ten minutes; browsers come back by themselves and go on behind the last event they had, without a gap
    and without getting anything twice, as long as the topics reach back. Who reads too slowly gets an event `missed`.
    """
    wanted = LiveFilter(agent_id, trace_id, frozenset(kind or EVENT_KINDS))
    stream = await services.live.open_stream(caller.scope, wanted, last_event_id or after or None)
    seat = services.live.seat(caller.scope)
    # Held by the response from here on: nothing can fail in between.
    seat.__enter__()
    return LiveResponse(stream, seat, lambda: door_of(request).identify(request))
