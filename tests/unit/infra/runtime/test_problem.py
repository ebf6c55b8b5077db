"""Every error of an app leaves as a problem document."""

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Query

from infra.runtime.problem import (
    MEDIA_TYPE,
    TYPE_PREFIX,
    FieldError,
    Problem,
    document_problems,
    install_problem_handlers,
    invalid,
    problem_responses,
    too_busy,
)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/invalid", responses=problem_responses(422, 503))
    async def raise_invalid() -> None:
        raise invalid("a is wrong; make it b", FieldError("a", "make it b"))

    @app.get("/busy")
    async def raise_busy() -> None:
        raise too_busy("later", retry_after_s=3)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/number")
    async def number(limit: int = Query(ge=1)) -> int:
        return limit

    return app


async def get(app: FastAPI, path: str) -> tuple[httpx2.Response, dict[str, Any]]:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get(path)
    assert answer.headers["content-type"] == MEDIA_TYPE
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"].startswith(TYPE_PREFIX)
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == path.partition("?")[0]
    return answer, body


async def test_a_problem_names_the_field_and_the_fix(app: FastAPI) -> None:
    _, body = await get(app, "/invalid")
    assert body["type"] == "urn:clawtrace:problem:invalid-request"
    assert body["errors"] == [{"field": "a", "message": "make it b"}]


async def test_headers_of_a_problem_are_sent(app: FastAPI) -> None:
    answer, _ = await get(app, "/busy")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize(
    ("path", "code"), [("/nowhere", "not-found"), ("/number?limit=0", "invalid-request"), ("/crash", "internal")]
)
async def test_errors_that_are_not_ours_have_a_type_too(app: FastAPI, path: str, code: str) -> None:
    _, body = await get(app, path)
    assert body["type"] == TYPE_PREFIX + code
    assert "hunter2" not in str(body)


async def test_a_wrong_parameter_is_named(app: FastAPI) -> None:
    _, body = await get(app, "/number?limit=x")
    assert body["errors"][0]["field"] == "query.limit"


def test_problems_are_documented(app: FastAPI) -> None:
    document = document_problems(app.openapi())
    content = document["paths"]["/invalid"]["get"]["responses"]["503"]["content"]
    assert content == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "Problem" in document["components"]["schemas"]


def test_members_of_the_standard_cannot_be_overwritten() -> None:
    problem = Problem(400, "x", "t", "d", extra={"status": 200, "snapshot": 7})
    assert problem.body() == {
        "type": "urn:clawtrace:problem:x",
        "title": "t",
        "status": 400,
        "detail": "d",
        "snapshot": 7,
    }
