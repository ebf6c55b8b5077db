"""What was erased leaves the stitcher no more.

Upstream: infra.runtime.tombstones, looked at every two seconds.
Downstream: ``compose`` strips what the core returns.
Guarantee: events are applied as ever, so that no gap is told where there is none and money that was spent stays spent;
but no span, trace, alert or card of it is sent, so nobody is told of it and no topic gets its bytes anew. The stream
never waits for Postgres: while that is away the last known list holds, and the sink, which does wait, stores nothing.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.database import DatabaseAway, make_engine
from infra.runtime.settings import StackSettings
from infra.runtime.tombstones import NO_TOMBSTONES, Tombstones, read_tombstones
from stream_jobs import metrics
from stream_jobs.core.stitch import StitchResult

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0


class ErasedReader:
    """The newest tombstones; one per process."""

    def __init__(self, settings: StackSettings, *, look_every_s: float = LOOK_EVERY_S) -> None:
        """Look once; Postgres is waited for no longer than a connection may take."""
        self._settings, self._look_every_s = settings, look_every_s
        self._engine: Engine | None = None
        self._is_away = False
        self._stop = threading.Event()
        self.stones: Tombstones = NO_TOMBSTONES
        self._look()
        self._thread = threading.Thread(target=self._follow, name="erased", daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def following(cls, settings: StackSettings) -> Iterator["ErasedReader"]:
        """Follow until the end of the block."""
        reader = cls(settings)
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
            if self._engine is None:
                self._engine = make_engine(self._settings, pool_size=1)
            with self._engine.connect() as connection:
                self.stones = read_tombstones(connection, self.stones)
        except (DatabaseAway, SQLAlchemyError) as error:
            if not self._is_away:
                _log.warning("tombstones_away", reason=str(error).splitlines()[0], in_force="the last known ones")
            self._is_away = True
        else:
            self._is_away = False


def without_erased(stones: Tombstones, tenant_id: str, agent_id: str, result: StitchResult) -> StitchResult:
    """Return a result without the outputs about what was erased; its changes of state stay."""
    if tenant_id not in stones.tenants:
        return result

    def is_kept(trace_id: str | None, run_id: str | None, session: str | None, at_us: int) -> bool:
        return not stones.cover(
            tenant_id, agent_id, at_us, trace_id=trace_id, run_id=run_id, sessions=(session,), with_windows=False
        )

    kept = msgspec.structs.replace(
        result,
        spans=[it for it in result.spans if is_kept(it.trace_id, it.run_id, it.session_key, it.started_at_us)],
        traces=[it for it in result.traces if is_kept(it.trace_id, None, it.session_key, it.started_at_us)],
        alerts=[
            it
            for it in result.alerts
            if is_kept(it.trace_id, it.labels.get("run_id"), it.labels.get("session_key"), it.at_us)
        ],
        cards=[it for it in result.cards if is_kept(it.trace_id, None, None, 0)],
    )
    for name in ("spans", "traces", "alerts", "cards"):
        metrics.ERASED_OUTPUTS.labels(name).inc(len(getattr(result, name)) - len(getattr(kept, name)))
    return kept
