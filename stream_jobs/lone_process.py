"""A process of which one works and others stand by: works until told to end, waits out what passes.

Upstream: the keeper of budgets and the notifier.
Downstream: their work; health and metrics on a port.
Guarantee: of all processes with one lock on one database one works: it holds the lock by its connection, and does all
its transactions on that connection, so one that has lost the lock can change nothing. kill -9 loses nothing.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, Protocol

import structlog
from confluent_kafka import KafkaException
from prometheus_client import Gauge
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.database import DatabaseAway, away, make_engine
from infra.runtime.kafka import KafkaAway
from infra.runtime.metrics import serve_health
from infra.runtime.settings import StackSettings
from stream_jobs.log_source import PlaceGone

_log = structlog.get_logger(__name__)

_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 5.0
_STUCK_S: Final = 30.0


class Work(Protocol):
    """One stretch of work, from a look at Postgres until something forces another."""

    def open(self) -> None:
        """Find out where to go on."""

    def step(self) -> None:
        """Do what is there to do; returns within a second when nothing is."""

    def close(self) -> None:
        """Let go of everything."""


class LoneProcess:
    """Works, one stretch after the other."""

    def __init__(
        self,
        settings: StackSettings,
        make_work: Callable[[Connection], Work],
        *,
        doing: str,
        port_name: str,
        lock_id: int,
        standby_seconds: float,
        num_working: Gauge,
    ) -> None:
        """``doing`` is one word for its work, for instance keeping; ``lock_id`` is the same for all of a kind."""
        self._settings, self._make_work = settings, make_work
        self._doing, self._port_name, self._lock_id = doing, port_name, lock_id
        self._standby_s, self._num_working = standby_seconds, num_working
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
        health = serve_health(self._settings.port(self._port_name), self.missing, self._settings.listen_host)
        try:
            self._run_stretches()
        finally:
            health.close()

    def missing(self) -> list[str]:
        """What keeps it from being ready, in plain words."""
        if self._state != self._doing:
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
                self._num_working.set(0)
                if engine is not None:
                    engine.dispose()

    def _run_stretch(self, engine: Engine) -> None:
        with engine.connect() as connection:
            if not self._wait_for_turn(connection):
                return
            work = self._make_work(connection)
            try:
                work.open()
                self._state = self._doing
                self._num_working.set(1)
                _log.info(self._doing)
                while not self._stop.is_set():
                    self._stepped_at_s = time.monotonic()
                    work.step()
            finally:
                work.close()

    def _wait_for_turn(self, connection: Connection) -> bool:
        """Wait until no other process works; False when it is time to end."""
        while not self._stop.is_set():
            with connection.begin():
                if connection.scalar(text("SELECT pg_try_advisory_lock(:id)"), {"id": self._lock_id}):
                    return True
            self._state = f"standing by: another process is {self._doing}"
            self._stop.wait(self._standby_s)
        return False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
