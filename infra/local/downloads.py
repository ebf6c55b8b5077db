"""Downloads one file so that an interruption costs nothing and a wrong byte is never accepted.

Upstream: artifacts.py says what and where.
Downstream: the cache folder.
Guarantee: the final name appears only after size and sha-256 are right; until then the bytes are in a
``.part`` file from which the next attempt, or the next command, goes on.
"""

import errno
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from infra.local.errors import StackError
from infra.local.maven_lock import LockedArtifact

CHUNK_BYTES = 1 << 16
CONNECT_TIMEOUT_S = 15
READ_TIMEOUT_S = 60
NUM_ATTEMPTS = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 15.0
HTTP_PARTIAL = 206
HTTP_RANGE_NOT_SATISFIABLE = 416

Advance = Callable[[int], None]


class _Incomplete(Exception):
    """One attempt failed in a way that another attempt may mend."""


def download(
    artifact: LockedArtifact,
    target: Path,
    base_urls: Sequence[str],
    advance: Advance,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Bring one artifact to ``target``; ``advance`` is told of every byte that counts (negative: lost).

    Raises:
        StackError: no repository gave the file, or it is not the file that the lock names.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.exists():
        advance(min(part.stat().st_size, artifact.size_bytes))
    reason = "no repository is configured"
    for attempt in range(NUM_ATTEMPTS):
        if attempt:
            wait(min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S))
        for base_url in base_urls:
            try:
                _fetch(f"{base_url.rstrip('/')}/{artifact.repository_path}", part, artifact, advance)
                _accept(part, target, artifact)
                return
            except _Incomplete as failure:
                reason = str(failure)
    raise StackError(
        f"Downloading {artifact.file_name} failed after {NUM_ATTEMPTS} attempts: {reason}. "
        "Check the network, then run the same command again: it goes on where it stopped."
    )


def sha256_of(path: Path) -> str:
    """Checksum of a file, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(url: str, part: Path, artifact: LockedArtifact, advance: Advance) -> None:
    """Append what is missing to the part file."""
    have = part.stat().st_size if part.exists() else 0
    if have > artifact.size_bytes:
        advance(-artifact.size_bytes)
        part.unlink()
        have = 0
    if have == artifact.size_bytes:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    # Identity, or a gzip-ing mirror would make ranges and sizes mean something else.
    headers["Accept-Encoding"] = "identity"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)) as response:
            _store(response, part, have, advance)
    except requests.RequestException as error:
        raise _Incomplete(f"{_innermost(error)} ({url})") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StackError(
                f"The disk is full: no room for {artifact.file_name} in {part.parent}. Free some space "
                "(or point CLAWTRACE_CACHE to a larger disk), then run the same command again."
            ) from error
        raise
    if part.stat().st_size < artifact.size_bytes:
        raise _Incomplete(f"the connection to {url} ended early")


def _innermost(error: BaseException) -> str:
    """The system's own words, without the layers of libraries around them."""
    while inner := (error.__cause__ or error.__context__):
        error = inner
    return str(error) or type(error).__name__


def _store(response: requests.Response, part: Path, have: int, advance: Advance) -> None:
    if response.status_code == HTTP_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
        advance(-have)
        raise _Incomplete("the server's file is shorter than what we have")
    if not response.ok:
        raise _Incomplete(f"HTTP {response.status_code} from {response.url}")
    if have and response.status_code != HTTP_PARTIAL:
        # The server ignores ranges and sends the whole file: begin again.
        advance(-have)
        have = 0
    with part.open("ab" if have else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            advance(len(chunk))


def _accept(part: Path, target: Path, artifact: LockedArtifact) -> None:
    """Give the file its final name, if it is the right one."""
    size_bytes = part.stat().st_size
    checksum = sha256_of(part)
    if size_bytes == artifact.size_bytes and checksum == artifact.sha256:
        part.replace(target)
        return
    # A wrong file must not be the start of the next attempt.
    part.unlink()
    raise StackError(
        f"{artifact.file_name} is not the file that maven.lock names: expected sha256 {artifact.sha256} "
        f"({artifact.size_bytes} bytes), got {checksum} ({size_bytes} bytes). It was deleted. "
        "Run the command again; if it happens again, the mirror or proxy in between changes files."
    )
