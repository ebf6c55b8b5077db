"""The key table in SQLite: the same statements as in Postgres, for tests that need no server."""

from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import NullPool

from infra.runtime.access_keys import access_keys
from infra.runtime.database import SCHEMA

PEPPER = b"a pepper of tests"


def engine_on_disk(folder: Path) -> Engine:
    """Make an engine with an empty key table.

    On disk, so that each thread has a connection of its own, as with Postgres: over a shared one, the thread that
    notes the use of a key could undo what another has not committed.
    """
    engine = create_engine(f"sqlite:///{folder / 'main.db'}", poolclass=NullPool)
    attach = f"ATTACH '{folder / 'control.db'}' AS {SCHEMA}"
    event.listen(engine, "connect", lambda connection, _: connection.execute(attach))
    access_keys.create(engine)
    return engine
