"""/v1/session: sign in, see who is signed in, sign out.

Upstream: the web UI.
Downstream: api/access.
Guarantee: the browser gets an HttpOnly cookie and no script ever sees a secret; a session that was ended opens nothing
within two seconds, and its streams end within five.
"""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.access.cookies import clear_session, set_session
from api.access.door import SESSION_COOKIE
from api.access.roles import ViewerDep, door_of
from api.schemas.session import SessionAnswer, SessionRequest
from infra.runtime.problem import problem_responses

router = APIRouter(prefix="/v1/session", tags=["access"])

_ERRORS = problem_responses(401, 403, 422, 429, 503)
# One that has no key yet can call it: OpenAPI's word for that is an empty requirement.
_OPEN: dict[str, Any] = {"security": [{}]}


@router.post("", status_code=201, summary="Sign in with a key", responses=_ERRORS, openapi_extra=_OPEN)
async def sign_in(request: Request, response: Response, wanted: SessionRequest) -> SessionAnswer:
    """Sign in; the answer sets the session's cookie. Whoever revokes the key ends the session."""
    door = door_of(request)
    made = await door.sessions.start_by_key(await door.identify_key(request, f"Bearer {wanted.key}"))
    set_session(request, response, made)
    return SessionAnswer.of(made.caller)


@router.get("", summary="Read who is signed in", responses=_ERRORS)
async def get_session(caller: ViewerDep) -> SessionAnswer:
    """Read tenant, role and end of the session; with a key, what the key is."""
    return SessionAnswer.of(caller)


@router.delete("", status_code=204, response_class=Response, summary="Sign out", responses=_ERRORS)
async def sign_out(request: Request, caller: ViewerDep) -> Response:
    """End the session. A key that is in the header instead stays as it is."""
    response = Response(status_code=204)
    if caller.session_id is not None:
        await door_of(request).sessions.end(request.cookies[SESSION_COOKIE])
        clear_session(request, response)
    return response
