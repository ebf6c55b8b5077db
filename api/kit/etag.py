"""Answers that a client may keep: JSON with an ETag when the trace can no longer change.

Upstream: the trace routes.
Downstream: browsers and other HTTP caches.
Guarantee: the tag is made of the body, so a changed body never has an old tag. It is weak, because the same answer
may be sent with and without gzip.
"""

import hashlib
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

from infra.runtime.problem import problem_responses

JSON = "application/json"


def cached_json(request: Request, answer: BaseModel | bytes, *, is_final: bool, media_type: str = JSON) -> Response:
    """Return the answer, or 304 when the client has it. Without ``is_final`` nothing is kept by anybody."""
    body = answer if isinstance(answer, bytes) else answer.model_dump_json().encode()
    if not is_final:
        return Response(body, media_type=media_type, headers={"Cache-Control": "private, no-store"})
    tag = f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    # Asked again each time: events of a closed trace may still come in late.
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def kept_answers(model: type, *others: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of such a route: it makes its bytes by itself. ``others`` are its other media types."""
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in others}
    not_modified: dict[str, Any] = {"description": "The client has it already (If-None-Match)."}
    errors = problem_responses(404)
    return {200: {"model": model, "content": content}, 304: not_modified, **errors}


def _has(if_none_match: str, tag: str) -> bool:
    known = [entry.strip().removeprefix("W/") for entry in if_none_match.split(",")]
    return "*" in known or tag.removeprefix("W/") in known
