"""The cookies of a login.

Upstream: api/routers/session.py.
Downstream: browsers.
Guarantee: no script can read them; over https they are never sent without it; the session's is sent by our own pages
only.
"""

from typing import Final

from fastapi import Request, Response

from api.access.door import SESSION_COOKIE
from api.access.session_store import NewSession

LOGIN_COOKIE: Final = "clawtrace_login"
LOGIN_PATH: Final = "/v1/session/oidc"


def set_session(request: Request, response: Response, made: NewSession) -> None:
    """Give the browser its session."""
    response.set_cookie(
        SESSION_COOKIE,
        made.token,
        expires=made.caller.expires_at,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def clear_session(request: Request, response: Response) -> None:
    """Take the session away."""
    response.delete_cookie(
        SESSION_COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


def set_login(request: Request, response: Response, value: str, max_age_s: int) -> None:
    """Remember in the browser what it asked the provider; Lax, because it comes back from a foreign page."""
    response.set_cookie(
        LOGIN_COOKIE,
        value,
        max_age=max_age_s,
        path=LOGIN_PATH,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def clear_login(request: Request, response: Response) -> None:
    """Forget it: it is good for one try."""
    response.delete_cookie(
        LOGIN_COOKIE, path=LOGIN_PATH, httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
