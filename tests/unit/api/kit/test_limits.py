"""Limits of requests: how fast, how large."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI, Request

from api.kit.limits import RequestLimits


async def _chunks(num_bytes: int) -> AsyncIterator[bytes]:
    for _ in range(0, num_bytes, 10):
        yield b"x" * 10


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/healthz")
    async def healthz() -> bool:
        return True

    app.add_middleware(RequestLimits, max_body_bytes=100, per_s=0.001, burst=4)
    return app


async def test_bodies_and_rates(app: FastAPI) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as http:

        async def post(content: AsyncIterator[bytes] | bytes, key: str) -> httpx2.Response:
            return await http.post("/size", content=content, headers={"Authorization": key})

        assert (await post(b"x" * 100, "a")).json() == 100
        assert (await post(_chunks(100), "a")).json() == 100
        for content in (b"x" * 101, _chunks(110)):
            answer = await post(content, "a")
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
        refused = await post(b"", "a")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert (await post(b"", "b")).status_code == 200
        for _ in range(9):
            assert (await http.get("/healthz")).status_code == 200
