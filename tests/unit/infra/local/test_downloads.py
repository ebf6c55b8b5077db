"""Downloads against a small server on loopback: resume, checksum, retry, plain words."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.local.downloads import CHUNK_BYTES, NUM_ATTEMPTS, download
from infra.local.errors import StackError
from infra.local.maven_lock import LockedArtifact

BODY = bytes(range(256)) * (4 * CHUNK_BYTES // 256)
ARTIFACT = LockedArtifact("org.example", "thing", "1.0", "jar", hashlib.sha256(BODY).hexdigest(), len(BODY))


class Repository(ThreadingHTTPServer):
    """A Maven repository with one file; breaks off or refuses as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = BODY
        self.with_ranges = True
        self.break_after_bytes: list[int] = []
        self.num_refusals = 0
        self.asked_ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/maven2/"


class _Handler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        repository = self.server
        wanted = self.headers.get("Range")
        repository.asked_ranges.append(wanted)
        if self.path != f"/maven2/{ARTIFACT.repository_path}":
            self.send_error(404)
            return
        if repository.num_refusals:
            repository.num_refusals -= 1
            self.send_error(503)
            return
        start = 0
        if wanted and repository.with_ranges and (match := re.fullmatch(r"bytes=(\d+)-", wanted)):
            start = int(match[1])
        body = repository.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if repository.break_after_bytes:
            body = body[: repository.break_after_bytes.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    server = Repository()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Attempt:
    """One call of download() with its waits and its byte count."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "thing-1.0.jar"
        self.part = folder / "thing-1.0.jar.part"
        self.waits: list[float] = []
        self.num_bytes = 0

    def run(self, *urls: str) -> None:
        download(ARTIFACT, self.target, urls, self._advance, wait=self.waits.append)

    def _advance(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def test_a_whole_file_arrives(repository: Repository, attempt: Attempt) -> None:
    attempt.run(repository.url)
    assert attempt.target.read_bytes() == BODY
    assert not attempt.part.exists()
    assert attempt.num_bytes == len(BODY)
    assert attempt.waits == []


def test_a_broken_connection_is_resumed_in_the_same_command(repository: Repository, attempt: Attempt) -> None:
    repository.break_after_bytes = [CHUNK_BYTES + 1000, CHUNK_BYTES + 500]
    attempt.run(repository.url)
    assert attempt.target.read_bytes() == BODY
    assert repository.asked_ranges == [None, f"bytes={CHUNK_BYTES}-", f"bytes={2 * CHUNK_BYTES}-"]
    assert attempt.waits == [1.0, 2.0]
    assert attempt.num_bytes == len(BODY)


def test_the_next_command_goes_on_where_the_last_one_stopped(repository: Repository, attempt: Attempt) -> None:
    attempt.part.write_bytes(BODY[:7000])
    attempt.run(repository.url)
    assert attempt.target.read_bytes() == BODY
    assert repository.asked_ranges == ["bytes=7000-"]
    assert attempt.num_bytes == len(BODY)


def test_a_server_without_ranges_means_from_the_beginning(repository: Repository, attempt: Attempt) -> None:
    repository.with_ranges = False
    attempt.part.write_bytes(BODY[:7000])
    attempt.run(repository.url)
    assert attempt.target.read_bytes() == BODY
    assert attempt.num_bytes == len(BODY)


def test_a_whole_part_file_needs_no_network(attempt: Attempt) -> None:
    attempt.part.write_bytes(BODY)
    attempt.run("http://127.0.0.1:9/")
    assert attempt.target.read_bytes() == BODY


def test_a_file_with_another_checksum_is_refused_and_deleted(repository: Repository, attempt: Attempt) -> None:
    repository.body = BODY[:-1] + b"?"
    with pytest.raises(StackError, match=r"not the file that maven\.lock names"):
        attempt.run(repository.url)
    assert not attempt.target.exists()
    assert not attempt.part.exists()


def test_a_longer_file_is_refused(repository: Repository, attempt: Attempt) -> None:
    repository.body = BODY + b"more"
    with pytest.raises(StackError, match="not the file"):
        attempt.run(repository.url)
    assert not attempt.target.exists()


def test_a_busy_server_is_asked_again(repository: Repository, attempt: Attempt) -> None:
    repository.num_refusals = 2
    attempt.run(repository.url)
    assert attempt.target.read_bytes() == BODY


def test_the_second_repository_is_asked_when_the_first_has_nothing(repository: Repository, attempt: Attempt) -> None:
    attempt.run(repository.url + "elsewhere", repository.url)
    assert attempt.target.read_bytes() == BODY


def test_a_failure_says_what_why_and_what_to_do(repository: Repository, attempt: Attempt) -> None:
    repository.num_refusals = NUM_ATTEMPTS
    with pytest.raises(StackError, match=r"thing-1\.0\.jar failed .*HTTP 503.*run the same command again"):
        attempt.run(repository.url)
    assert len(attempt.waits) == NUM_ATTEMPTS - 1
