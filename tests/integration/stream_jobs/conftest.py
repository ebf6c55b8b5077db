"""Installs of their own on a real broker."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.stream_jobs.harness import Install


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """A running broker: ``CLAWTRACE_TEST_KAFKA``, else the one of the test stack."""
    return os.environ.get("CLAWTRACE_TEST_KAFKA") or str(request.getfixturevalue("stack").kafka_bootstrap)


@pytest.fixture
def install(bootstrap: str, tmp_path: Path) -> Iterator[Callable[[str], Install]]:
    """Make installs; all are removed at the end."""
    made: list[Install] = []

    def make(name: str) -> Install:
        made.append(Install(bootstrap, f"t{uuid.uuid4().hex[:8]}-{name}.", tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.remove()
