"""GET /v1/sessions and the runs of one session.

Upstream: clients with a read key.
Downstream: api/repositories/sessions.py.
Guarantee: costs hold those of sub-agents.
"""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.kit.cursor import Cursor, InvalidCursor, decode_cursor
from api.kit.instants import to_us
from api.repositories.scope import Scope
from api.routers.window import CursorText, MonthDep, Window
from api.schemas.figures import AgentSessionDetail, AgentSessionItem, AgentSessionPage, SessionRun
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import not_found, problem_responses

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])

_LIST = "sessions"
AgentFilter = Annotated[str | None, Query(max_length=64, description="Only of this OpenClaw install.")]


@router.get("", summary="List sessions")
async def list_sessions(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    window: MonthDep,
    agent_id: AgentFilter = None,
    cursor: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Sessions per page.")] = 50,
) -> AgentSessionPage:
    """List the sessions that had traces within a window (the last 30 days), the one with the newest first.

    Costs hold those of sub-agents.
    """
    after = decode_cursor(cursor, _LIST, num_keys=2) if cursor else None
    if after is not None:
        if after.from_at is None or after.to_at is None:
            raise InvalidCursor("not a cursor of the list of sessions: it has no window")
        window = (after.from_at, after.to_at)
        agent_id = str(after.filters["agent_id"]) if "agent_id" in after.filters else None
    return await while_connected(request, _list(scope, services, window, agent_id, after, limit))


async def _list(
    scope: Scope,
    services: Services,
    window: Window,
    agent_id: str | None,
    after: Cursor | None,
    limit: int,
) -> AgentSessionPage:
    rows = await services.sessions.list_page(
        scope,
        from_at=window[0],
        to_at=window[1],
        agent_id=agent_id,
        after=(after.at, after.key[0], after.key[1]) if after else None,
        limit=limit + 1,
    )
    items = [AgentSessionItem.from_row(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return AgentSessionPage(items=items, next_cursor=None)
    last = items[-1]
    # The window ends with the newest trace of the first page: a session that goes on keeps its place.
    end = window[1] if after else min(window[1], items[0].last_started_at + timedelta(microseconds=1))
    following = Cursor(
        _LIST,
        "-last_started_at",
        to_us(last.last_started_at),
        (last.session_key, last.agent_id),
        window[0],
        end,
        {"agent_id": agent_id} if agent_id is not None else {},
    )
    return AgentSessionPage(items=items, next_cursor=following.encode())


@router.get(
    "/{session_key:path}",
    summary="Read a session with its runs",
    responses=problem_responses(404),
)
async def get_session(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    session_key: Annotated[str, Path(min_length=1, max_length=512, description="OpenClaw's session key.")],
    window: MonthDep,
    agent_id: AgentFilter = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Runs that are listed.")] = 200,
) -> AgentSessionDetail:
    """Read the runs of a session within a window (the last 30 days), newest first, each with all below it."""
    read = services.sessions.list_runs(
        scope, session_key=session_key, agent_id=agent_id, from_at=window[0], to_at=window[1], limit=limit
    )
    rows = await while_connected(request, read)
    if not rows.rows:
        raise not_found(f"the session {session_key} has no runs in this window; ask for another with from and to")
    return AgentSessionDetail(
        session_key=session_key,
        from_at=window[0],
        to_at=window[1],
        runs=[SessionRun.from_row(row) for row in rows.as_dicts()],
        truncated=rows.truncated,
    )
