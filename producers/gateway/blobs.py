"""Big payloads, stored by their hash: ``PUT /v1/blobs/<sha256>``.

Upstream: plugins, for payloads too big for an event.
Downstream: ``<home>/blobs/<tenant>/<first two letters>/<sha256>``.
Guarantee: what lies under a name has that hash and is whole (written beside, synced, renamed); the same bytes again
change nothing; one tenant never reaches another's folder.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from infra.runtime.key_store import KeyStore
from infra.runtime.problem import FieldError, Problem, invalid, too_large, unavailable, unsupported_media
from producers import metrics

_log = structlog.get_logger(__name__)

MAX_BLOB_BYTES: Final = 16 * 1024 * 1024
# Uploads under way at once: each holds up to MAX_BLOB_BYTES in memory until it is checked.
MAX_UPLOADS: Final = 4
RETRY_S: Final = 10
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TOO_LARGE: Final = f"a blob may have {MAX_BLOB_BYTES} bytes"


class Blobs:
    """The route; one per process."""

    def __init__(self, keys: KeyStore, folder: Path) -> None:
        self._keys = keys
        self._folder = folder
        self._uploads = asyncio.Semaphore(MAX_UPLOADS)

    async def answer(self, request: Request, sha256: str) -> Response:
        """Store a blob: 201, or 200 when it is there already.

        Raises:
            Problem: see the route's documentation.
        """
        try:
            return await self._take(request, sha256)
        except Problem as problem:
            metrics.REFUSALS.labels(problem.code).inc()
            raise

    async def _take(self, request: Request, sha256: str) -> Response:
        principal = await self._keys.authenticate(request.headers.get("authorization"), "ingest")
        if not _SHA256.fullmatch(sha256):
            message = "name a blob by its SHA-256: 64 hexadecimal digits, small letters"
            raise invalid(message, FieldError("sha256", message))
        if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise unsupported_media("a blob is sent as it is, without Content-Encoding")
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > MAX_BLOB_BYTES:
            raise too_large(_TOO_LARGE)
        async with self._uploads:
            content = await _read(request)
            found = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
            if found != sha256:
                message = f"the bytes that came have the SHA-256 {found}; send the blob again, whole"
                raise invalid(message, FieldError("sha256", message))
            # The tenant's alphabet is checked where keys are made: small letters and digits, so it is no path.
            path = blob_path(self._folder, principal.tenant_id, sha256)
            try:
                is_new = await asyncio.to_thread(_store, path, content)
            except OSError as error:
                _log.error("blob_not_stored", path=str(path), reason=str(error))
                raise unavailable("the blob could not be stored; send it again later", retry_after_s=RETRY_S) from None
        metrics.BLOBS.labels("stored" if is_new else "known").inc()
        if is_new:
            metrics.BLOB_BYTES.inc(len(content))
        return Response(status_code=201 if is_new else 200)


def blob_path(folder: Path, tenant_id: str, sha256: str) -> Path:
    """Where a blob lies; two letters a folder keep folders small."""
    return folder / tenant_id / sha256[:2] / sha256


async def _read(request: Request) -> bytes:
    chunks = []
    num_bytes = 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > MAX_BLOB_BYTES:
            raise too_large(_TOO_LARGE)
        chunks.append(chunk)
    return b"".join(chunks)


def _store(path: Path, content: bytes) -> bool:
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
