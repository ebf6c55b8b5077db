"""The sink as a process: works until told to end, waits out what passes, stands by when overtaken.

Upstream: `clawtrace sink run`.
Downstream: lakehouse.sink.session; health and metrics on the port ``sink_metrics``.
Guarantee: SIGTERM commits what is buffered; kill -9 loses nothing; a second sink stands by, ready to go on
when the first one is gone.
"""

import signal
import threading
import time
from types import FrameType

import pyarrow as pa
import structlog
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError

from infra.runtime.collector import collect_seldom
from infra.runtime.fail_points import arm
from infra.runtime.metrics import serve_health
from lakehouse import metrics
from lakehouse.catalog.connect import connect_catalog
from lakehouse.settings import SinkSettings
from lakehouse.sink.committer import TRANSIENT, Overtaken, StoppedWaiting, Unprovisioned
from lakehouse.sink.dead_letters import DeadLetterUndelivered
from lakehouse.sink.feeds import TablesTornApart, feeds_of
from lakehouse.sink.progress import PROPERTY, TableProgress
from lakehouse.sink.session import SinkSession
from lakehouse.sink.source import KafkaAway, NeedsPerson, PlaceGone

__all__ = ["NeedsPerson", "SinkProcess"]

_log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 10.0
# How long a commit may go on trying after SIGTERM; the supervisor's patience is longer.
_GRACE_S = 5.0
# A step that takes longer than this waits for something.
_STUCK_S = 30.0


class SinkProcess:
    """Runs sessions one after the other.

    Raises:
        NeedsPerson: the settings name tables that cannot be filled alone.
    """

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        try:
            self._feeds = feeds_of(settings.sink_tables)
        except TablesTornApart as error:
            raise NeedsPerson(f"CLAWTRACE_SINK_TABLES: {error}") from error
        self._stop = threading.Event()
        self._stopped_at = 0.0
        self._state = "starting"
        self._stepped_at = time.monotonic()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            NeedsPerson: what nobody can wait out.
        """
        arm(self._settings.fail_point)
        # Arrow's own allocator keeps what a commit needed: 354 MB after 20,000 events, 237 MB with the system's.
        pa.set_memory_pool(pa.system_memory_pool())
        # Decoding took a quarter of the time with it: each collection walks the rows that wait for the next commit.
        collect_seldom()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        health = serve_health(self._settings.port("sink_metrics"), self.missing, self._settings.listen_host)
        try:
            self._run_sessions()
        finally:
            health.close()

    def missing(self) -> list[str]:
        """What keeps the sink from being ready, in plain words."""
        if self._state != "running":
            return [self._state]
        age_s = time.monotonic() - self._stepped_at
        return [f"no progress for {age_s:.0f} s"] if age_s > _STUCK_S else []

    def _run_sessions(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                catalog = connect_catalog(self._settings)
                try:
                    self._run_session(catalog)
                except Overtaken as error:
                    metrics.OVERTAKEN.inc()
                    _log.warning("overtaken", reason=str(error))
                    self._stand_by(catalog)
                    continue
            except StoppedWaiting:
                return
            except (KafkaAway, PlaceGone, DeadLetterUndelivered, Unprovisioned, NoSuchTableError, *TRANSIENT) as error:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                self._state = f"waiting: {reason}"
                _log.warning("waiting", reason=reason, seconds=wait_s)
                # After a good while of work the next trouble is a new one.
                wait_s = _FIRST_WAIT_S if time.monotonic() - started > _STUCK_S else wait_s
                self._stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)

    def _run_session(self, catalog: Catalog) -> None:
        session = SinkSession(self._settings, catalog, self._wait, self._feeds)
        try:
            session.open()
            self._state = "running"
            while not self._stop.is_set():
                self._stepped_at = time.monotonic()
                session.step()
            session.commit_all()
        finally:
            session.close()

    def _stand_by(self, catalog: Catalog) -> None:
        """Wait until the other sink has not committed for a while.

        Two sinks at once never spoil anything, but each would throw away half of its work.
        """
        self._state = "standing by: another sink fills the tables"
        seen: dict[str, str] = {}
        still_since = time.monotonic()
        while time.monotonic() - still_since < self._settings.sink_standby_seconds:
            found = {
                name: TableProgress.from_json(
                    catalog.load_table((self._settings.silver_namespace, name)).properties.get(PROPERTY)
                ).commit_id
                for feed in self._feeds
                for name in feed.tables
            }
            if found != seen:
                seen, still_since = found, time.monotonic()
            if self._stop.wait(self._settings.sink_standby_seconds / 5):
                return

    def _wait(self, seconds: float) -> bool:
        """Wait between two attempts; False when SIGTERM came and the grace is over."""
        if not self._stop.is_set():
            self._stop.wait(seconds)
            return True
        time.sleep(min(seconds, 0.5))
        return time.monotonic() - self._stopped_at < _GRACE_S

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stop.is_set():
            self._stopped_at = time.monotonic()
        self._stop.set()
