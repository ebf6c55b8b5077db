"""What was erased leaves the stitcher no more.

Upstream: infra.runtime.tombstones, by ``stream_jobs.follower``.
Downstream: ``compose`` strips what the core returns.
Guarantee: events are applied as ever, so that no gap is told where there is none and money that was spent stays spent;
but no span, trace, alert or card of it is sent, so nobody is told of it and no topic gets its bytes anew. While
Postgres is away the last known list holds, and the sink, which does wait, stores nothing.
"""

import msgspec
from sqlalchemy import Connection

from infra.runtime.settings import StackSettings
from infra.runtime.tombstones import NO_TOMBSTONES, Tombstones, read_tombstones
from stream_jobs import metrics
from stream_jobs.core.stitch import StitchResult
from stream_jobs.follower import Follower


class ErasedReader(Follower):
    """The newest tombstones."""

    what = "tombstones"

    def __init__(self, settings: StackSettings) -> None:
        """Look once, then go on in the background."""
        self.stones: Tombstones = NO_TOMBSTONES
        super().__init__(settings)

    def _read(self, connection: Connection) -> None:
        self.stones = read_tombstones(connection, self.stones)


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
