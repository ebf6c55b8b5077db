"""The key table in SQLite, in memory: the same statements as in Postgres, for tests that need no server."""

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from infra.runtime.access_keys import access_keys
from infra.runtime.database import SCHEMA

PEPPER = b"a pepper of tests"


def engine_in_memory() -> Engine:
    """Make an engine with an empty key table."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda connection, _: connection.execute(f"ATTACH ':memory:' AS {SCHEMA}"))
    access_keys.create(engine)
    return engine
