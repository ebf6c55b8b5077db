"""Messages that were given up, and another try for them.

Upstream: ``clawtrace channels dead``; later the API.
Downstream: Postgres; the notifier delivers what is tried anew.
Guarantee: a dead letter stays until it is tried anew or its channel is removed; trying anew brings no old state back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Engine

from infra.runtime.database import transaction
from stream_jobs.notify.admin import chosen
from stream_jobs.notify.tables import channels, deliveries, messages

MAX_DEAD_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up."""

    tenant_id: str
    channel: str
    message_id: str
    reason: str
    num_tries: int
    num_alerts: int
    dead_at: datetime

    def as_builtins(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"dead_at": self.dead_at.isoformat(timespec="seconds")}


def list_dead(engine: Engine, tenant_id: str | None = None, name: str | None = None) -> list[DeadLetter]:
    """Return the newest dead letters.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    num_alerts = (
        sa.select(sa.func.count())
        .select_from(deliveries)
        .where(deliveries.c.message == messages.c.id)
        .scalar_subquery()
        .label("num_alerts")
    )
    statement = (
        sa.select(messages, channels.c.tenant_id, channels.c.name, num_alerts)
        .join_from(messages, channels, messages.c.channel_id == channels.c.channel_id)
        .where(messages.c.state == "dead", *chosen(tenant_id, name))
        .order_by(messages.c.done_at.desc())
        .limit(MAX_DEAD_SHOWN)
    )
    with transaction(engine) as connection:
        rows = connection.execute(statement).all()
    return [
        DeadLetter(row.tenant_id, row.name, row.message_id, row.reason, row.num_tries, row.num_alerts, row.done_at)
        for row in rows
    ]


def retry_dead(engine: Engine, tenant_id: str | None = None, name: str | None = None) -> int:
    """Let dead letters be tried anew, with all their tries; returns how many.

    Where a message sets a state (an incident, an alert in Alertmanager) and a newer one of the same alert exists, the
    dead one is dropped: it would bring an old state back.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    ids = sa.select(channels.c.channel_id).where(*chosen(tenant_id, name))
    mine, newer = deliveries.alias(), deliveries.alias()
    outdated = (
        messages.delete()
        .where(messages.c.state == "dead", messages.c.channel_id.in_(ids.where(~channels.c.is_grouped)))
        .where(
            sa.exists().where(
                mine.c.message == messages.c.id,
                newer.c.channel_id == mine.c.channel_id,
                newer.c.alert_id == mine.c.alert_id,
                newer.c.message > messages.c.id,
            )
        )
    )
    again = (
        messages.update()
        .where(messages.c.state == "dead", messages.c.channel_id.in_(ids))
        .values(state="waiting", num_tries=0, due_at=sa.func.clock_timestamp(), done_at=None)
    )
    with transaction(engine) as connection:
        connection.execute(outdated)
        return connection.execute(again).rowcount
