"""Refuses query parameters that a route does not have: a misspelt filter must not answer as if there were none.

Upstream: api/main.py puts it before the routes.
Downstream: a 422 that names the parameter, the likely one, and those that there are.
Guarantee: what the OpenAPI document names passes, and nothing else does.
"""

import difflib
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from infra.runtime.problem import FieldError, invalid


async def refuse_unknown_query(request: Request) -> None:
    """Look at the names in the query.

    Raises:
        Problem: 422, when the route has no such parameter.
    """
    if not request.query_params:
        return
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = sorted(set(_names(route.dependant)))
    errors = [FieldError(f"query.{name}", _words(name, known)) for name in request.query_params if name not in known]
    if errors:
        raise invalid("; ".join(f"{it.field}: {it.message}" for it in errors), *errors)


def _words(name: str, known: list[str]) -> str:
    if not known:
        return "there is no such parameter; this route has none"
    close = difflib.get_close_matches(name, known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return f"there is no such parameter; there are {', '.join(known)}.{meant}"


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (info.alias or name for name, info in model.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _names(inner)
