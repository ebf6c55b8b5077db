"""Bodies are inflated within bounds, whatever they claim."""

import gzip
import zlib

import pytest

from infra.runtime.problem import Problem
from producers.contracts.wire import MAX_BODY_BYTES
from producers.gateway.body import BrokenGzip, inflate


def test_an_honest_body_comes_back() -> None:
    body = b'{"events":[' + b",".join(str(n).encode() for n in range(50_000)) + b"]}"
    assert inflate(gzip.compress(body)) == body


@pytest.mark.parametrize("num_bytes", [MAX_BODY_BYTES + 1, 200 * 1024 * 1024])
def test_a_bomb_is_refused_before_it_unfolds(num_bytes: int) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(compressor.compress(b" " * 1024 * 1024) for _ in range(-(-num_bytes // 1024**2)))
    with pytest.raises(Problem) as caught:
        inflate(bomb + compressor.flush())
    assert caught.value.status == 413


def test_a_body_that_shrinks_too_well_is_refused_below_the_size_limit() -> None:
    with pytest.raises(Problem) as caught:
        inflate(gzip.compress(b" " * (MAX_BODY_BYTES - 1)))
    assert caught.value.status == 413
    assert "shrinks" in caught.value.detail


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"x", gzip.compress(b"{}") * 2, b"\x1f\x8b\x08"],
)
def test_broken_gzip_is_told(body: bytes) -> None:
    with pytest.raises(BrokenGzip):
        inflate(body)
