"""What the sink knows of erasures, looked at before each commit.

Upstream: Postgres, through infra.runtime.tombstones.
Downstream: lakehouse.sink.session.
Guarantee: the list is never older than the head of the table that is committed on: an erasure stores its tombstones
first and moves the head of every table afterwards, so a commit that meets no other was prepared with them.
"""

from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from infra.runtime.tombstones import NO_TOMBSTONES, Tombstones, read_tombstones


class ErasedList:
    """The tombstones as of the last look: ``known``."""

    def __init__(self, settings: StackSettings) -> None:
        self._engine = make_engine(settings, pool_size=1)
        self.known = NO_TOMBSTONES

    def look(self) -> Tombstones:
        """Return all tombstones of now.

        Raises:
            SQLAlchemyError: Postgres is away, or was not migrated; without it nothing can be committed.
        """
        with self._engine.connect() as connection:
            self.known = read_tombstones(connection, self.known)
        return self.known

    def close(self) -> None:
        """Let go of Postgres."""
        self._engine.dispose()
