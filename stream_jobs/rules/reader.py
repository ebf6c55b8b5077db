"""Follows what tenants set of alert rules, while the stitcher works.

Upstream: ``store``, by ``stream_jobs.follower``; a copy on disk for a start while Postgres is away.
Downstream: the stitcher's core, with each record.
Guarantee: a change is in force within seconds, without a restart; the stream never waits for Postgres: while that is
away the last known rows hold, also over a restart, with a metric. Settings are no events: a record that is worked on
again after a crash, or a topic that is read anew from its start, is judged by the settings of that moment. What was
sent before stays what it was, since readers drop what they have by its revision; alerts keep their ids, which follow
from rule and scope and not from settings.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection

from infra.runtime.settings import StackSettings
from stream_jobs import metrics
from stream_jobs.core.detect.rulebook import RuleRow
from stream_jobs.follower import LOOK_EVERY_S, Follower
from stream_jobs.rules import store

_log = structlog.get_logger(__name__)

_decoder: Final = msgspec.json.Decoder(tuple[RuleRow, ...])


class RuleRowsReader(Follower):
    """The newest rows."""

    what = "rule settings"

    def __init__(self, settings: StackSettings, copy_file: Path, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Read the copy on disk, look once, then go on in the background."""
        self._copy_file = copy_file
        self._rev: int | None = None
        self.rows: tuple[RuleRow, ...] = self._read_copy()
        super().__init__(settings, look_every_s=look_every_s)

    def _read(self, connection: Connection) -> None:
        # The number first: rows of a change in between are then read once more, and none is missed.
        rev = store.read_rev(connection)
        if rev == self._rev:
            return
        self.rows = tuple(it.row for it in store.read_rows(connection))
        self._rev = rev
        _log.info("rule_settings_read", num_rows=len(self.rows), rev=rev)
        self._write_copy()

    def _note_stale(self, is_stale: bool) -> None:
        metrics.RULE_SETTINGS_STALE.set(is_stale)

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
