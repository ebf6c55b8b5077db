"""Scores that people and models give, written down for the learner to send.

Upstream: the API, through ``stream_jobs.admin``.
Downstream: the learner's outbox; ``control.given_scores``, from which they are shown until the tables have them.
Guarantee: score, record to be sent and whatever the caller adds (its audit) are one transaction under the learner's
lock, so a score is sent once and after all that was written before it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.database import transaction
from stream_jobs import outbox as outbox_rows
from stream_jobs.contracts.score import Score
from stream_jobs.learn import memory
from stream_jobs.learn.learner import score_rows
from stream_jobs.learn.tables import given, outbox

MAX_SHOWN: Final = 500

_decode = msgspec.json.Decoder(Score).decode


def give_scores(
    engine: Engine, scores: Sequence[Score], also: Callable[[Connection], None] = lambda connection: None
) -> list[Score]:
    """Write scores down, and return them with their revision.

    Raises:
        DatabaseAway: Postgres does not answer, or was not migrated.
    """
    with transaction(engine) as connection:
        rev = memory.lock(connection) + 1
        numbered = [msgspec.structs.replace(it, rev=rev) for it in scores]
        for score in numbered:
            values = {
                "tenant_id": score.tenant_id,
                "agent_id": score.agent_id,
                "trace_id": score.trace_id,
                "value": msgspec.json.encode(score),
            }
            statement = insert(given).values(score_id=score.score_id, **values)
            changed = {**values, "given_at": sa.func.clock_timestamp()}
            connection.execute(statement.on_conflict_do_update(index_elements=["score_id"], set_=changed))
        outbox_rows.put(connection, outbox, score_rows(numbered, rev))
        memory.advance(connection, rev)
        also(connection)
    return numbered


def recently_given(engine: Engine, tenant_id: str, agent_id: str, trace_id: str) -> list[Score]:
    """Return what was given to a trace within the last day.

    Raises:
        DatabaseAway: Postgres does not answer, or was not migrated.
    """
    with transaction(engine) as connection:
        rows = connection.execute(
            sa.select(given.c.value)
            .where(given.c.tenant_id == tenant_id, given.c.agent_id == agent_id, given.c.trace_id == trace_id)
            .order_by(given.c.given_at.desc(), given.c.score_id)
            .limit(MAX_SHOWN)
        )
        return [_decode(row.value) for row in rows]
