"""Upkeep as a process: each procedure at its own pace.

Upstream: `clawtrace upkeep run`.
Downstream: lakehouse.maintenance.procedures; health and metrics on the port ``upkeep_metrics``.
Guarantee: one procedure at a time in the whole install; what fails is tried again at its next turn, and the process
goes on.
"""

import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.database import DatabaseAway, make_engine
from infra.runtime.metrics import serve_health
from lakehouse.contracts.tables import TABLES
from lakehouse.erasure.eraser import Eraser
from lakehouse.maintenance.lock import TablesBusy, tables_lock
from lakehouse.maintenance.procedures import Upkeep
from lakehouse.settings import UpkeepSettings

_log = structlog.get_logger(__name__)

# Orphans are looked for a while after the start: a stack that is started often should not do it each time.
_FIRST_ORPHANS_S = 3600.0
# An erasure or a rebuild may take long; the turn comes again.
_LOCK_WAIT_S = 30.0
_ERASE = "erase"
# Turns without one success in between before the process calls itself not ready.
_MAX_FAILED_TURNS = 3


@dataclass
class _Turn:
    procedure: str
    every_s: float
    next_at: float


class UpkeepProcess:
    """Runs the schedule."""

    def __init__(self, settings: UpkeepSettings) -> None:
        self._settings = settings
        self._upkeep = Upkeep(settings)
        self._engine = make_engine(settings, pool_size=2)
        self._eraser = Eraser(settings, self._engine)
        self._stop = threading.Event()
        self._num_failed_turns = 0

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; a procedure that runs is waited for by Trino, not by us."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        health = serve_health(self._settings.port("upkeep_metrics"), self.missing, self._settings.listen_host)
        try:
            self._follow_schedule()
        finally:
            health.close()

    def missing(self) -> list[str]:
        """What keeps upkeep from being ready, in plain words."""
        if self._num_failed_turns < _MAX_FAILED_TURNS:
            return []
        return [f"the last {self._num_failed_turns} turns failed on every table; see the log"]

    def _follow_schedule(self) -> None:
        now = time.monotonic()
        settings = self._settings
        turns = [
            _Turn(_ERASE, settings.upkeep_erasure_seconds, now),
            _Turn("delete_old_rows", settings.upkeep_retention_seconds, now + settings.upkeep_retention_seconds),
            _Turn("optimize", settings.upkeep_optimize_seconds, now + settings.upkeep_optimize_seconds),
            _Turn("expire_snapshots", settings.upkeep_expire_seconds, now + settings.upkeep_expire_seconds),
            _Turn(
                "remove_orphan_files",
                settings.upkeep_orphan_seconds,
                now + min(settings.upkeep_orphan_seconds, _FIRST_ORPHANS_S),
            ),
        ]
        while True:
            turn = min(turns, key=lambda candidate: candidate.next_at)
            if self._stop.wait(max(turn.next_at - time.monotonic(), 0)):
                return
            self._take(turn)

    def _take(self, turn: _Turn) -> None:
        try:
            with tables_lock(self._engine, _LOCK_WAIT_S):
                if turn.procedure == _ERASE:
                    self._erase()
                else:
                    self._look_after(turn)
        except (TablesBusy, DatabaseAway, SQLAlchemyError) as error:
            _log.warning("turn_put_off", procedure=turn.procedure, reason=str(error).splitlines()[0])
        turn.next_at = time.monotonic() + turn.every_s

    def _erase(self) -> None:
        """Do what was asked for; what fails waits for the next turn."""
        while not self._stop.is_set():
            job = self._eraser.run_next()
            if job is None or job["num_tries"] > 1:
                return

    def _look_after(self, turn: _Turn) -> None:
        num_failed = 0
        for table in TABLES:
            if self._stop.is_set():
                return
            num_failed += sum(outcome.error is not None for outcome in self._upkeep.run(turn.procedure, [table]))
        self._num_failed_turns = self._num_failed_turns + 1 if num_failed == len(TABLES) else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
