"""Limits of requests: how fast, how large."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from api.kit.limits import RequestLimits, TokenBuckets


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 5), st.floats(0.5, 5))
def test_no_more_than_burst_and_rate_allow(pauses_s: list[float], burst: int, per_s: float) -> None:
    clock = Clock()
    buckets = TokenBuckets(per_s, burst, clock)
    taken = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        taken += buckets.take(b"key") == 0
        assert taken <= burst + (clock.now_s - 100) * per_s + 1e-6


def test_who_waits_as_told_gets_in() -> None:
    clock = Clock()
    buckets = TokenBuckets(2, 1, clock)
    assert buckets.take(b"a") == 0
    wait_s = buckets.take(b"a")
    assert wait_s == 0.5
    assert buckets.take(b"b") == 0
    clock.now_s += wait_s
    assert buckets.take(b"a") == 0


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = TokenBuckets(1, 10, clock)
    for number in range(500):
        clock.now_s += 1
        buckets.take(str(number).encode())
    assert len(buckets) <= 10


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
