"""Fixtures of the runtime's tests."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.unit.infra.runtime.keys_in_memory import engine_in_memory


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine with an empty key table."""
    engine = engine_in_memory()
    yield engine
    engine.dispose()
