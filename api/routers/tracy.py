"""/v1/tracy: ask the analyst, and look at what was asked.

Upstream: clients with a read key.
Downstream: api/tracy/service.py.
Guarantee: a session of another tenant and one that does not exist give the same 404.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse

from api.access.roles import door_of
from api.kit.sse import event_stream
from api.services import ScopeDep
from api.tracy.schemas import (
    SESSION_ID_PATTERN,
    STREAM_RESPONSE,
    ChatQuestion,
    Deleted,
    SessionDetail,
    SessionItem,
    SessionList,
    SessionTurn,
    TracyState,
)
from api.tracy.service import TracyDep
from api.tracy.sessions import MAX_TURNS, Turn
from infra.runtime.problem import FieldError, invalid, not_found, problem_responses

router = APIRouter(prefix="/v1/tracy", tags=["tracy"])

SessionId = Annotated[str, Path(pattern=SESSION_ID_PATTERN, description="The session.")]


@router.get("", summary="Read whether Tracy has a model")
async def get_tracy(scope: ScopeDep, tracy: TracyDep) -> TracyState:
    """Read whether Tracy can be asked; when she cannot, how to give her a model."""
    return TracyState.of(tracy.settings)


@router.post(
    "/chat",
    summary="Ask Tracy",
    response_class=StreamingResponse,
    responses={**STREAM_RESPONSE, **problem_responses(404)},
)
async def chat(request: Request, scope: ScopeDep, tracy: TracyDep, asked: ChatQuestion) -> StreamingResponse:
    """Ask in plain words; the answer is a stream of events.

    Each figure in a `text` is a link to its `citation` (`[$1.24](#c3)`), which carries the SQL and the snapshots it
    came from. Figures without a source are withheld.
    """
    turns: list[Turn] = []
    if asked.session_id is not None:
        found = await tracy.sessions.find(scope, asked.session_id)
        if found is None:
            raise not_found(f"there is no session {asked.session_id}")
        turns = found[1]
        if len(turns) >= MAX_TURNS:
            raise invalid("the session is full; begin a new one", FieldError("body.session_id", "full"))
    page = asked.page.model_dump(exclude_none=True)
    answer = tracy.chat(scope, asked.session_id, turns, asked.question, page, asked.payloads)
    return event_stream(answer, lambda: door_of(request).identify(request))


@router.get("/sessions", summary="List conversations")
async def list_sessions(
    scope: ScopeDep, tracy: TracyDep, limit: Annotated[int, Query(ge=1, le=200, description="Sessions to return.")] = 50
) -> SessionList:
    """List conversations, the one used last first."""
    return SessionList(items=[SessionItem.of(row) for row in await tracy.sessions.list_newest(scope, limit)])


@router.get("/sessions/{session_id}", summary="Read a conversation", responses=problem_responses(404))
async def get_session(scope: ScopeDep, tracy: TracyDep, session_id: SessionId) -> SessionDetail:
    """Read a conversation with its turns. Send its id to `POST /v1/tracy/chat` to go on with it."""
    found = await tracy.sessions.find(scope, session_id)
    if found is None:
        raise not_found(f"there is no session {session_id}")
    row, turns = found
    return SessionDetail(session=SessionItem.of(row), turns=[SessionTurn.of(turn) for turn in turns])


@router.delete("/sessions/{session_id}", summary="Delete a conversation", responses=problem_responses(404))
async def delete_session(scope: ScopeDep, tracy: TracyDep, session_id: SessionId) -> Deleted:
    """Delete a conversation with its turns."""
    if not await tracy.sessions.delete(scope, session_id):
        raise not_found(f"there is no session {session_id}")
    return Deleted(deleted=True)
