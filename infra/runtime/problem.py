"""Errors over HTTP, said once: problem+json (RFC 9457) with a stable type, the field and the fix.

Upstream: the gateway and the API raise :class:`Problem`, or let FastAPI and Starlette raise theirs.
Downstream: every HTTP client of ours, which may switch on ``type``.
Guarantee: no error leaves without a type; a 500 tells nothing about the inside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
# A URN and not a web address: it must never change, and we own no domain to keep.
TYPE_PREFIX = "urn:clawtrace:problem:"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong."""

    field: str
    message: str


class Problem(Exception):
    """An answer that is no success: raise it anywhere below a route.

    ``code`` is the stable end of ``type``; ``detail`` says what is wrong with this request and what to do.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self, instance: str = "") -> dict[str, Any]:
        """Return the members of the problem document."""
        body: dict[str, Any] = {
            **self.extra,
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if instance:
            body["instance"] = instance
        if self.errors:
            body["errors"] = [{"field": error.field, "message": error.message} for error in self.errors]
        return body

    def response(self, instance: str = "") -> JSONResponse:
        """Return the problem as an HTTP response."""
        return JSONResponse(self.body(instance), status_code=self.status, media_type=MEDIA_TYPE, headers=self.headers)


def unauthorised(detail: str) -> Problem:
    """401: no key, or one that does not count."""
    return Problem(
        401, "unauthorised", "Not authenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="clawtrace"'}
    )


def forbidden(detail: str) -> Problem:
    """403: a good key for something else."""
    return Problem(403, "wrong-scope", "Not allowed with this key", detail)


def not_found(detail: str) -> Problem:
    """404: nothing of that name, for this caller."""
    return Problem(404, "not-found", "Not found", detail)


def conflict(detail: str) -> Problem:
    """409: well sent, but not as things stand now."""
    return Problem(409, "conflict", "Not as things stand", detail)


def too_large(detail: str) -> Problem:
    """413: more bytes than are taken at once."""
    return Problem(413, "too-large", "Request too large", detail)


def unsupported_media(detail: str) -> Problem:
    """415: a content type or encoding that is not read here."""
    return Problem(415, "unsupported-media", "Unsupported content", detail)


def invalid(detail: str, *errors: FieldError) -> Problem:
    """422: well sent, wrongly filled in."""
    return Problem(422, "invalid-request", "Request not valid", detail, errors=errors)


def too_busy(detail: str, *, retry_after_s: int) -> Problem:
    """429: the same request will be taken a little later."""
    return Problem(429, "too-busy", "Too busy", detail, headers={"Retry-After": str(retry_after_s)})


def unavailable(detail: str, *, retry_after_s: int) -> Problem:
    """503: a part that this answer needs is away."""
    return Problem(503, "unavailable", "Unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_crash)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` argument of a route: these statuses, documented as problem documents."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


# For components.schemas of an OpenAPI document, see document_problems.
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem document.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": f"Stable name of the kind of problem, {TYPE_PREFIX}…"},
        "title": {"type": "string", "description": "The kind of problem, for people."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong with this request, and what to do."},
        "instance": {"type": "string", "description": "Path that was asked for."},
        "errors": {
            "type": "array",
            "description": "The fields that are wrong.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

_DESCRIPTIONS = {
    400: "The request cannot be read.",
    401: "The key is missing, unknown or revoked.",
    403: "The key has another scope.",
    404: "Nothing of that name, for this caller.",
    409: "Not as things stand now; the detail says what is in the way.",
    413: "The body is too large.",
    415: "The content type or encoding is not supported.",
    422: "A field is wrong; `errors` names it.",
    429: "Too busy; send the same again after Retry-After seconds.",
    503: "A part that is needed is away; send the same again after Retry-After seconds.",
}


def document_problems(openapi: dict[str, Any]) -> dict[str, Any]:
    """Add the schema that ``problem_responses`` points to, to an OpenAPI document."""
    openapi.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    return openapi


# Where the library's own words do not say what to do.
_WORDS = {"extra_forbidden": "there is no such field", "missing": "is missing"}


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return error.response(request.url.path)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(".".join(map(str, item["loc"])), _WORDS.get(item["type"], str(item["msg"])))
        for item in error.errors()
    ]
    detail = "; ".join(f"{item.field}: {item.message}" for item in errors[:3])
    return invalid(detail, *errors).response(request.url.path)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {401: "unauthorised", 403: "wrong-scope", 404: "not-found", 405: "method-not-allowed"}
    code = codes.get(error.status_code, f"http-{error.status_code}")
    problem = Problem(error.status_code, code, str(error.detail), str(error.detail), headers=error.headers or {})
    return problem.response(request.url.path)


async def _on_crash(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_crashed", path=request.url.path, exc_info=error)
    return Problem(
        500, "internal", "Internal error", "The request failed here, not with you; the log has the reason."
    ).response(request.url.path)
