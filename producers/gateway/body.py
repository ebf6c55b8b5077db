"""Reads a request body, inflates it when needed, and never holds more than it may.

Upstream: the HTTP server.
Downstream: ``producers.gateway.batch``.
Guarantee: at most MAX_BODY_BYTES in memory before and after inflation, whatever the headers say.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from infra.runtime.problem import too_large, unsupported_media
from producers.contracts.wire import MAX_BODY_BYTES

# Hook events shrink 5 to 30 times; what shrinks more is no batch of events. Small bodies may.
MAX_GZIP_RATIO: Final = 200
RATIO_FREE_BYTES: Final = 256 * 1024
JSON_ONLY: Final = ("application/json",)
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
_TOO_LARGE: Final = f"the body is over {MAX_BODY_BYTES} bytes; send fewer events at a time"


class BrokenGzip(ValueError):
    """The body said gzip and is not; the text says why."""


def check_headers(request: Request, media_types: Sequence[str] = JSON_ONLY) -> bool:
    """Check type, encoding and length before any byte is read; return whether the body is gzip.

    Raises:
        Problem: 413 or 415.
    """
    headers = request.headers
    content_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type not in media_types:
        raise unsupported_media(f"Content-Type {content_type[:80]!r} is not read here; send {media_types[0]}")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise unsupported_media(f"Content-Encoding {encoding[:80]!r} is not read here; send gzip or none")
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise too_large(_TOO_LARGE)
    return encoding == "gzip"


async def read_body(request: Request) -> bytes:
    """Read the body as it was sent.

    Raises:
        Problem: 413.
    """
    chunks = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > MAX_BODY_BYTES:
            raise too_large(_TOO_LARGE)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def inflate(sent: bytes) -> bytes:
    """Inflate one gzip member.

    Raises:
        Problem: 413, when it is larger inside than may be.
        BrokenGzip: it is no gzip, is cut off, or has something behind it.
    """
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = inflater.decompress(sent, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise BrokenGzip(f"the body is not gzip as Content-Encoding says ({error})") from None
    if len(body) > MAX_BODY_BYTES:
        raise too_large(_TOO_LARGE)
    if len(body) > RATIO_FREE_BYTES and len(body) > MAX_GZIP_RATIO * len(sent):
        raise too_large(f"the body shrinks more than {MAX_GZIP_RATIO} times; that is no batch of events")
    if not inflater.eof:
        raise BrokenGzip("the gzip body is cut off; send it whole")
    if inflater.unused_data:
        raise BrokenGzip("there are bytes behind the end of the gzip body; send one gzip member")
    return body
