"""/v1/session: sign in, see who is signed in, sign out.

Upstream: the web UI.
Downstream: api/access.
Guarantee: the browser gets an HttpOnly cookie and no script ever sees a secret; a session that was ended opens nothing
within two seconds, and its streams end within five.
"""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.access.cookies import LOGIN_COOKIE, clear_login, clear_session, set_login, set_session
from api.access.door import SESSION_COOKIE
from api.access.login import LASTS_S, NotAMember, OidcLogin
from api.access.oidc import LoginRefused, ProviderAway
from api.access.roles import ViewerDep, door_of
from api.schemas.session import SessionAnswer, SessionMethods, SessionRequest
from api.services import Services, ServicesDep
from infra.runtime.problem import Problem, forbidden, not_found, unauthorised, unavailable

_log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/session", tags=["access"])

_LOGIN_PATH = "/v1/session/oidc/login"
_RETRY_AFTER_S = 10
# A path of ours; two slashes would lead to another host.
_PATH = r"^/([^/\\\x00-\x1f][^\\\x00-\x1f]*)?$"

# One that has no key yet can call it: OpenAPI's word for that is an empty requirement.
_OPEN: dict[str, Any] = {"security": [{}]}


@router.post("", status_code=201, summary="Sign in with a key", openapi_extra=_OPEN)
async def sign_in(request: Request, response: Response, wanted: SessionRequest) -> SessionAnswer:
    """Sign in; the answer sets the session's cookie. Whoever revokes the key ends the session."""
    door = door_of(request)
    made = await door.sessions.start_by_key(await door.identify_key(request, f"Bearer {wanted.key}"))
    set_session(request, response, made)
    return SessionAnswer.of(made.caller)


@router.get("", summary="Read who is signed in")
async def get_session(caller: ViewerDep) -> SessionAnswer:
    """Read tenant, role and end of the session; with a key, what the key is."""
    return SessionAnswer.of(caller)


@router.delete("", status_code=204, response_class=Response, summary="Sign out")
async def sign_out(request: Request, caller: ViewerDep) -> Response:
    """End the session. A key that is in the header instead stays as it is."""
    response = Response(status_code=204)
    if caller.session_id is not None:
        await door_of(request).sessions.end(request.cookies[SESSION_COOKIE])
        clear_session(request, response)
    return response


@router.get("/methods", summary="Read how one can sign in", openapi_extra=_OPEN)
async def list_methods(services: ServicesDep) -> SessionMethods:
    """Read how one can sign in here; with a provider, the browser is sent to a path of ours first."""
    has_provider = services.login is not None
    return SessionMethods(key=True, oidc=has_provider, oidc_login_path=_LOGIN_PATH if has_provider else None)


# Both are for browsers only, which are sent on: not for clients, so not in the document.
@router.get("/oidc/login", include_in_schema=False)
async def begin_login(
    request: Request,
    services: ServicesDep,
    following: Annotated[str, Query(alias="next", max_length=2_000, pattern=_PATH)] = "/",
    tenant_id: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """Send the browser to the provider."""
    login = _login_of(services)
    try:
        begun = await login.begin(following, tenant_id)
    except ProviderAway as error:
        raise _away(error) from error
    response = RedirectResponse(begun.url, status_code=303)
    set_login(request, response, begun.memory, LASTS_S)
    return response


@router.get("/oidc/callback", include_in_schema=False)
async def finish_login(
    request: Request,
    services: ServicesDep,
    code: Annotated[str, Query(max_length=4_000)] = "",
    state: Annotated[str, Query(max_length=500)] = "",
    iss: Annotated[str | None, Query(max_length=500)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Take the browser back from the provider, signed in."""
    login = _login_of(services)
    if error is not None or not code:
        raise unauthorised(f"the provider let nobody in: {error or 'no code'}")
    try:
        made, following = await login.finish(request.cookies.get(LOGIN_COOKIE, ""), code=code, state=state, issuer=iss)
    except LoginRefused as refused:
        raise unauthorised(str(refused)) from refused
    except NotAMember as stranger:
        _log.warning("login_of_a_stranger")
        raise forbidden(str(stranger)) from stranger
    except ProviderAway as away:
        raise _away(away) from away
    response = RedirectResponse(following, status_code=303)
    set_session(request, response, made)
    clear_login(request, response)
    return response


def _login_of(services: Services) -> OidcLogin:
    if services.login is None:
        raise not_found("this install has no OpenID provider; sign in with a key")
    return services.login


def _away(error: ProviderAway) -> Problem:
    _log.warning("oidc_provider_away", reason=str(error))
    return unavailable("the OpenID provider does not answer as it should", retry_after_s=_RETRY_AFTER_S)
