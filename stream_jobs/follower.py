"""Looks at rows of Postgres again and again while a stream goes on.

Upstream: Postgres, every two seconds, over one connection of its own.
Downstream: what the stitcher asks with each record: rule settings, what was erased.
Guarantee: whoever asks never waits for Postgres, only the start does, for as long as a connection may take. While it is
away the last known rows hold; that is logged once. Nothing that a look meets ends the thread.
"""

import threading
from abc import ABC, abstractmethod
from typing import ClassVar, Final, Self

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from infra.runtime.database import DatabaseAway, away, make_engine
from infra.runtime.settings import StackSettings

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0


class Follower(ABC):
    """One kind of rows, followed by a thread of its own; one per process."""

    # What is followed, for the log and the thread's name.
    what: ClassVar[str]

    def __init__(self, settings: StackSettings, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Look once, then go on in the background."""
        self._settings, self._look_every_s = settings, look_every_s
        self._engine: Engine | None = None
        self._is_away = False
        self._stop = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._follow, name=self.what, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._look_every_s + 1)
        if self._engine is not None:
            self._engine.dispose()

    @abstractmethod
    def _read(self, connection: Connection) -> None:
        """Take over what is new."""

    def _note_stale(self, is_stale: bool) -> None:
        """Tell the metrics whether the last look failed."""
        return

    def _follow(self) -> None:
        while not self._stop.wait(self._look_every_s):
            self._look()

    def _look(self) -> None:
        try:
            if self._engine is None:
                self._engine = make_engine(self._settings, pool_size=1)
            with self._engine.connect() as connection:
                self._read(connection)
        except (DatabaseAway, SQLAlchemyError) as error:
            self._note_stale(True)
            self._say_away(error)
        except Exception:
            # Whatever it is, the thread must live: the next look may be better.
            _log.exception("look_failed", what=self.what)
            self._note_stale(True)
        else:
            self._note_stale(False)
            if self._is_away:
                _log.info("rows_back", what=self.what)
            self._is_away = False

    def _say_away(self, error: Exception) -> None:
        if not self._is_away:
            reason = str(away(error) if isinstance(error, SQLAlchemyError) else error)
            hint = "; run clawtrace db migrate" if isinstance(error, ProgrammingError) else ""
            _log.warning("rows_away", what=self.what, reason=reason + hint, in_force="the last known ones")
        self._is_away = True
