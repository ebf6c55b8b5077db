"""Follows what tenants set of alert rules, while the stitcher works.

Upstream: ``store``, looked at every two seconds; a copy on disk for a start while Postgres is away.
Downstream: the stitcher's core, with each record.
Guarantee: a change is in force within seconds, without a restart; the stream never waits for Postgres: while that is
away the last known rows hold, also over a restart, with a metric. Settings are no events: a record that is worked on
again after a crash, or a topic that is read anew from its start, is judged by the settings of that moment. What was
sent before stays what it was, since readers drop what they have by its revision; alerts keep their ids, which follow
from rule and scope and not from settings.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from infra.runtime.database import DatabaseAway, away, make_engine
from infra.runtime.settings import StackSettings
from stream_jobs import metrics
from stream_jobs.core.detect.rulebook import RuleRow
from stream_jobs.rules import store

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0

_decoder: Final = msgspec.json.Decoder(tuple[RuleRow, ...])


class RuleRowsReader:
    """The newest rows; one per process."""

    def __init__(self, settings: StackSettings, copy_file: Path, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Read what is known; Postgres is waited for no longer than a connection may take."""
        self._settings, self._copy_file, self._look_every_s = settings, copy_file, look_every_s
        self._engine: Engine | None = None
        self._rev: int | None = None
        self._is_away = False
        self._stop = threading.Event()
        self.rows: tuple[RuleRow, ...] = self._read_copy()
        self._look()
        self._thread = threading.Thread(target=self._follow, name="rule-rows", daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def following(cls, settings: StackSettings, copy_file: Path) -> Iterator["RuleRowsReader"]:
        """Follow until the end of the block."""
        reader = cls(settings, copy_file)
        try:
            yield reader
        finally:
            reader.close()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(self._look_every_s + 1)
        if self._engine is not None:
            self._engine.dispose()

    def _follow(self) -> None:
        while not self._stop.wait(self._look_every_s):
            self._look()

    def _look(self) -> None:
        try:
            rows = self._read_newer()
        except (DatabaseAway, SQLAlchemyError) as error:
            self._note_away(error)
            return
        except Exception:
            # Whatever it is, the thread must live: the next look may be better.
            _log.exception("rule_settings_look_failed")
            metrics.RULE_SETTINGS_STALE.set(1)
            return
        metrics.RULE_SETTINGS_STALE.set(0)
        if self._is_away:
            _log.info("rule_settings_back")
            self._is_away = False
        if rows is not None:
            self.rows = rows
            _log.info("rule_settings_read", num_rows=len(rows), rev=self._rev)
            self._write_copy()

    def _read_newer(self) -> tuple[RuleRow, ...] | None:
        if self._engine is None:
            self._engine = make_engine(self._settings, pool_size=1)
        with self._engine.connect() as connection:
            # The number first: rows of a change in between are then read once more, and none is missed.
            rev = store.read_rev(connection)
            if rev == self._rev:
                return None
            rows = tuple(it.row for it in store.read_rows(connection))
        self._rev = rev
        return rows

    def _note_away(self, error: Exception) -> None:
        metrics.RULE_SETTINGS_STALE.set(1)
        if not self._is_away:
            reason = str(away(error) if isinstance(error, SQLAlchemyError) else error)
            hint = "; run clawtrace db migrate" if isinstance(error, ProgrammingError) else ""
            _log.warning("rule_settings_away", reason=reason + hint, in_force="the last known ones")
        self._is_away = True

    def _read_copy(self) -> tuple[RuleRow, ...]:
        try:
            return _decoder.decode(self._copy_file.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("rule_settings_copy_unreadable", file=str(self._copy_file), reason=str(error))
            return ()

    def _write_copy(self) -> None:
        try:
            self._copy_file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._copy_file.parent, prefix=f".{self._copy_file.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(self.rows))
            Path(name).replace(self._copy_file)
        except OSError as error:
            _log.warning("rule_settings_copy_not_written", file=str(self._copy_file), reason=str(error))
