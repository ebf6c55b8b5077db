"""An S3-compatible server for tests, in memory, as a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from pyarrow.fs import FileSelector, FileType, S3FileSystem

from tests.integration.doors import wait_until
from tests.ports import free_port

REGION = "eu-central-1"
BUCKET = "clawtrace"


@dataclass(frozen=True)
class ObjectStore:
    """A server with one bucket."""

    port: int
    access_key: str = "clawtracetest"
    secret_key: str = "clawtracetestsecret"

    @property
    def catalog_properties(self) -> dict[str, str]:
        """What the setting ``catalog_properties`` says about it."""
        return {
            "s3.endpoint": f"http://127.0.0.1:{self.port}",
            "s3.region": REGION,
            "s3.access-key-id": self.access_key,
            "s3.secret-access-key": self.secret_key,
        }

    def files(self) -> S3FileSystem:
        """The server as a client of ours sees it."""
        return S3FileSystem(
            endpoint_override=f"127.0.0.1:{self.port}",
            scheme="http",
            region=REGION,
            access_key=self.access_key,
            secret_key=self.secret_key,
            allow_bucket_creation=True,
        )

    def objects(self) -> dict[str, bytes]:
        """Everything in the bucket."""
        files = self.files()
        found = {}
        for told in files.get_file_info(FileSelector(BUCKET, recursive=True)):
            if told.type == FileType.File:
                with files.open_input_stream(told.path) as stream:
                    found[told.path] = stream.read()
        return found

    def put(self, objects: dict[str, bytes]) -> None:
        """Write objects, under the names that :meth:`objects` gave."""
        files = self.files()
        for path, content in objects.items():
            with files.open_output_stream(path) as stream:
                stream.write(content)


@contextmanager
def running_object_store(log_file: Path) -> Iterator[ObjectStore]:
    """Start a server with an empty bucket, stop it."""
    store = ObjectStore(free_port())
    with log_file.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(store.port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: _answers(store), bool, f"the object store answers; {log_file}")
        store.files().create_dir(BUCKET)
        yield store
    finally:
        server.kill()
        server.wait()


def _answers(store: ObjectStore) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{store.port}/moto-api/", trust_env=False, timeout=30).status_code < 500
    except httpx2.TransportError:
        return False
