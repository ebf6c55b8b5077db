"""The keeper as a process: works until told to end, waits out what passes, stands by while another keeps.

Upstream: ``clawtrace budgets run``.
Downstream: ``keeper``; health and metrics on the port ``budgets_metrics``.
Guarantee: of all keepers on one database one works: it holds a lock of its connection, and does all its transactions
on that connection, so one that has lost the lock can change nothing. kill -9 loses nothing.
"""

import signal
import threading
import time
from types import FrameType
from typing import Final

import structlog
from confluent_kafka import KafkaException
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.database import DatabaseAway, away, make_engine
from infra.runtime.kafka import KafkaAway
from infra.runtime.metrics import serve_health
from stream_jobs.budgets import metrics
from stream_jobs.budgets.keeper import Keeper
from stream_jobs.budgets.spends import NeedsPerson, PlaceGone
from stream_jobs.settings import BudgetsSettings

__all__ = ["BudgetsProcess", "NeedsPerson"]

_log = structlog.get_logger(__name__)

# Any constant: all keepers must ask for the same lock.
KEEPER_LOCK_ID: Final = 4_600_002
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_STUCK_S: Final = 30.0


class BudgetsProcess:
    """Keeps, one stretch after the other."""

    def __init__(self, settings: BudgetsSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._state = "starting"
        self._stepped_at_s = time.monotonic()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            NeedsPerson: what nobody can wait out.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        health = serve_health(self._settings.port("budgets_metrics"), self.missing)
        try:
            self._run_stretches()
        finally:
            health.close()

    def missing(self) -> list[str]:
        """What keeps it from being ready, in plain words."""
        if self._state != "keeping":
            return [self._state]
        age_s = time.monotonic() - self._stepped_at_s
        return [f"no progress for {age_s:.0f} s"] if age_s > _STUCK_S else []

    def _run_stretches(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            started_s = time.monotonic()
            engine = None
            try:
                engine = make_engine(self._settings, pool_size=1)
                self._run_stretch(engine)
            except (SQLAlchemyError, DatabaseAway, KafkaAway, KafkaException, PlaceGone) as error:
                reason = str(away(error) if isinstance(error, SQLAlchemyError) else error).splitlines()[0]
                self._state = f"waiting: {reason}"
                _log.warning("waiting", reason=reason, seconds=wait_s)
                # After a good while of work the next trouble is a new one.
                wait_s = _FIRST_WAIT_S if time.monotonic() - started_s > _STUCK_S else wait_s
                self._stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            finally:
                metrics.KEEPING.set(0)
                if engine is not None:
                    engine.dispose()

    def _run_stretch(self, engine: Engine) -> None:
        with engine.connect() as connection:
            if not self._wait_for_turn(connection):
                return
            keeper = Keeper(self._settings, connection)
            try:
                keeper.open()
                self._state = "keeping"
                metrics.KEEPING.set(1)
                _log.info("keeping")
                while not self._stop.is_set():
                    self._stepped_at_s = time.monotonic()
                    keeper.step()
            finally:
                keeper.close()

    def _wait_for_turn(self, connection: Connection) -> bool:
        """Wait until no other keeper works; False when it is time to end."""
        while not self._stop.is_set():
            with connection.begin():
                if connection.scalar(text("SELECT pg_try_advisory_lock(:id)"), {"id": KEEPER_LOCK_ID}):
                    return True
            self._state = "standing by: another process keeps the budgets"
            self._stop.wait(self._settings.budgets_standby_seconds)
        return False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
