"""What was erased is not live either: kept out of what is read from the topics, and put out of the window.

Upstream: infra.runtime.tombstones, looked at every two seconds and right after an erasure was asked here.
Downstream: api/live/topic_reader.py strips records, api/live/feed.py has the window forget.
Guarantee: what this process knows to be erased leaves the topics for nobody, neither from the window nor from further
back. While Postgres is away the last known list holds.
"""

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from api.live.records import Decoded, LiveItem
from infra.runtime.tombstones import NO_TOMBSTONES, Tombstones, read_tombstones
from producers.contracts.guard import GuardMessage, Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.trace import Trace

_log = structlog.get_logger(__name__)


class ErasedWatch:
    """The tombstones as of the last look; looked at from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.stones = NO_TOMBSTONES

    def look(self) -> bool:
        """Look at Postgres; whether there is anything new."""
        try:
            with self._engine.connect() as connection:
                found = read_tombstones(connection, self.stones)
        except SQLAlchemyError as error:
            _log.info("tombstones_not_read", reason=str(error).splitlines()[0])
            return False
        is_new = found is not self.stones
        self.stones = found
        return is_new

    def strip(self, decoded: Decoded) -> Decoded:
        """Return a record without what was erased."""
        if decoded.tenant_id not in self.stones.tenants:
            return decoded
        kept = tuple(item for item in decoded.items if not is_erased(self.stones, decoded.tenant_id, item))
        return Decoded(decoded.tenant_id, decoded.mark, decoded.identity, kept)


def is_erased(stones: Tombstones, tenant_id: str, item: LiveItem) -> bool:
    """Whether an event of a tenant was erased."""
    if tenant_id not in stones.tenants:
        return False
    run_id: str | None = None
    session: str | None = None
    match item.value():
        case Span() as span:
            run_id, session, at_us = span.run_id, span.session_key, span.started_at_us
        case Trace() as trace:
            session, at_us = trace.session_key, trace.started_at_us
        case Alert() as alert:
            run_id, session, at_us = alert.labels.get("run_id"), alert.labels.get("session_key"), alert.at_us
        case GuardMessage(body=Verdict() as verdict, issued_at_us=at_us):
            run_id = verdict.scope_id if verdict.scope == "run" else None
            session = verdict.scope_id if verdict.scope == "session" else None
        case _:
            at_us = 0
    # Windows are about messages, which never stand in these topics.
    return stones.cover(
        tenant_id,
        item.agent_id,
        at_us,
        trace_id=item.trace_id,
        run_id=run_id,
        sessions=() if session is None else (session,),
        with_windows=False,
    )
