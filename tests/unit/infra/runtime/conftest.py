"""Fixtures of the runtime's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.unit.infra.runtime.keys_in_sqlite import engine_on_disk


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with an empty key table."""
    engine = engine_on_disk(tmp_path)
    yield engine
    engine.dispose()
