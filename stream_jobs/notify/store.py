"""What the planner reads and writes in Postgres, inside the transaction of its caller.

Upstream: ``planner``, which begins and commits.
Downstream: the tables of migration 0008.
Guarantee: a delivery is written once per channel, alert, change of state and repeat; it joins a message that has not
been tried and does not hold its alert yet, else it gets one of its own.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert

from stream_jobs.contracts.channel import ChannelFilters
from stream_jobs.core.notify.message import Told
from stream_jobs.core.notify.plan import OpenAlert, group_key_of
from stream_jobs.notify.tables import alert_marks, channel_alerts, channels, deliveries, messages

KEEP_SENT: Final = "1 day"
MAX_DUE_ROWS: Final = 500

_open_decoder = msgspec.json.Decoder(OpenAlert)
_told_decoder = msgspec.json.Decoder(Told)


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """What planning needs of a channel; nothing secret."""

    channel_id: str
    tenant_id: str
    filters: ChannelFilters
    repeat_seconds: int
    is_grouped: bool
    kind: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """An alert that is open in a channel."""

    channel_id: str
    alert_id: str
    opened: OpenAlert
    num_repeats: int


def channels_of(connection: Connection, tenants: Collection[str]) -> list[StoredChannel]:
    """Return the channels of tenants, and keep them from being removed until the transaction ends."""
    if not tenants:
        return []
    rows = connection.execute(
        channels.select()
        .where(channels.c.tenant_id.in_(sorted(tenants)))
        .order_by(channels.c.channel_id)
        .with_for_update(read=True, key_share=True)
    )
    return [_channel(row) for row in rows]


def open_alerts(connection: Connection, alert_ids: Collection[str]) -> dict[tuple[str, str], StoredAlert]:
    """Return what is open in any channel of these alerts, by channel and alert."""
    rows = connection.execute(channel_alerts.select().where(channel_alerts.c.alert_id.in_(sorted(alert_ids))))
    return {(row.channel_id, row.alert_id): _alert(row) for row in rows}


def write_open(
    connection: Connection, channel: StoredChannel, opened: OpenAlert, *, snoozed_until: datetime | None
) -> None:
    """Store that an alert is open in a channel, as it was told last; the next repeat is counted from now."""
    values = {
        "channel_id": channel.channel_id,
        "alert_id": opened.alert.alert_id,
        "opened": msgspec.json.encode(opened).decode(),
        "next_repeat_at": snoozed_until if snoozed_until is not None else _next_repeat_at(channel.repeat_seconds),
    }
    changed = {name: values[name] for name in ("opened", "next_repeat_at")}
    statement = insert(channel_alerts).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["channel_id", "alert_id"], set_=changed))


def close(connection: Connection, channel_id: str, alert_id: str) -> None:
    """Store that an alert is over."""
    c = channel_alerts.c
    connection.execute(channel_alerts.delete().where(c.channel_id == channel_id, c.alert_id == alert_id))


def snoozed(connection: Connection, alert_ids: Collection[str]) -> dict[tuple[str, str], datetime]:
    """Return until when people want to hear nothing of these alerts, by tenant and alert."""
    if not alert_ids or not _has_marks(connection):
        return {}
    c = alert_marks.c
    rows = connection.execute(
        sa.select(c.tenant_id, c.alert_id, c.snoozed_until).where(
            c.alert_id.in_(sorted(alert_ids)), c.snoozed_until > sa.func.clock_timestamp()
        )
    )
    return {(row.tenant_id, row.alert_id): row.snoozed_until for row in rows}


def due_repeats(connection: Connection) -> list[tuple[StoredChannel, StoredAlert]]:
    """Return what is to be told again, and count it; an alert that was acknowledged is not (Alertmanager needs it)."""
    c, of = channel_alerts.c, channels.c
    columns: list[sa.ColumnElement[Any]] = [*channels.c, c.alert_id, c.opened, c.num_repeats]
    rows = connection.execute(
        sa.select(*columns)
        .join_from(channel_alerts, channels, c.channel_id == of.channel_id)
        .where(
            c.next_repeat_at <= sa.func.clock_timestamp(),
            sa.or_(c.acked_at.is_(None), of.kind == "alertmanager"),
            # One that has not arrived yet needs no other behind it.
            ~sa.exists().where(
                deliveries.c.channel_id == c.channel_id,
                deliveries.c.alert_id == c.alert_id,
                deliveries.c.message == messages.c.id,
                messages.c.state == "waiting",
            ),
        )
        .order_by(c.next_repeat_at)
        .limit(MAX_DUE_ROWS)
        .with_for_update(of=channel_alerts)
    ).all()
    found = [(_channel(row), _alert(row)) for row in rows]
    for channel, alert in found:
        connection.execute(
            channel_alerts.update()
            .where(c.channel_id == alert.channel_id, c.alert_id == alert.alert_id)
            .values(num_repeats=alert.num_repeats + 1, next_repeat_at=_next_repeat_at(channel.repeat_seconds))
        )
    return found


def new_acks(connection: Connection) -> list[tuple[StoredChannel, StoredAlert, str]]:
    """Return what people have acknowledged since it opened, with who did, and note it."""
    if not _has_marks(connection):
        return []
    c, of, mark = channel_alerts.c, channels.c, alert_marks.c
    columns: list[sa.ColumnElement[Any]] = [*channels.c, c.alert_id, c.opened, c.num_repeats]
    columns += [mark.acked_at, mark.acked_by]
    rows = connection.execute(
        sa.select(*columns)
        .join_from(channel_alerts, channels, c.channel_id == of.channel_id)
        .join(alert_marks, sa.and_(mark.alert_id == c.alert_id, mark.tenant_id == of.tenant_id))
        .where(c.acked_at.is_(None), mark.acked_at >= c.opened_at)
        .limit(MAX_DUE_ROWS)
        .with_for_update(of=channel_alerts)
    ).all()
    for row in rows:
        connection.execute(
            channel_alerts.update()
            .where(c.channel_id == row.channel_id, c.alert_id == row.alert_id)
            .values(acked_at=row.acked_at)
        )
    return [(_channel(row), _alert(row), str(row.acked_by)) for row in rows]


def put(connection: Connection, channel: StoredChannel, told: Told, *, num_repeat: int, group_seconds: float) -> bool:
    """Write a delivery; returns whether it is new.

    Args:
        num_repeat: 0 for a change of state, else which repeat.
        group_seconds: how long a new message waits for others of its group.
    """
    alert = told.alert
    key = {
        "channel_id": channel.channel_id,
        "alert_id": alert.alert_id,
        "rev": alert.rev,
        "state": alert.state,
        "told_as": told.told_as,
        "num_repeat": num_repeat,
    }
    if connection.execute(sa.select(deliveries.c.message).filter_by(**key)).first() is not None:
        return False
    group_key = group_key_of(alert, is_grouped=channel.is_grouped)
    message = (
        _waiting_message(connection, channel.channel_id, group_key, alert.alert_id) if channel.is_grouped else None
    )
    if message is None:
        wait_s = group_seconds if channel.is_grouped else 0.0
        message = connection.execute(
            messages.insert()
            .values(
                message_id=f"msg_{uuid.uuid4().hex}",
                channel_id=channel.channel_id,
                group_key=group_key,
                due_at=sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, wait_s),
            )
            .returning(messages.c.id)
        ).scalar_one()
    connection.execute(deliveries.insert().values(**key, message=message, told=msgspec.json.encode(told).decode()))
    return True


def drop_old(connection: Connection) -> None:
    """Drop messages that arrived long ago, with their deliveries."""
    connection.execute(
        messages.delete().where(
            messages.c.state == "sent", messages.c.done_at < sa.func.now() - sa.cast(KEEP_SENT, sa.Interval)
        )
    )


def told_in(connection: Connection, message: int) -> tuple[Told, ...]:
    """Return the alerts of a message, in the order of their changes."""
    rows = connection.execute(
        sa.select(deliveries.c.told)
        .where(deliveries.c.message == message)
        .order_by(deliveries.c.rev, deliveries.c.alert_id)
    )
    return tuple(_told_decoder.decode(row.told) for row in rows)


def _waiting_message(connection: Connection, channel_id: str, group_key: str, alert_id: str) -> int | None:
    """Return a message that this alert can join, locked; one that is being sent is locked by its sender."""
    found: int | None = connection.scalar(
        sa.select(messages.c.id)
        .where(
            messages.c.channel_id == channel_id,
            messages.c.group_key == group_key,
            messages.c.state == "waiting",
            messages.c.num_tries == 0,
            messages.c.due_at > sa.func.clock_timestamp(),
            ~sa.exists().where(deliveries.c.message == messages.c.id, deliveries.c.alert_id == alert_id),
        )
        .order_by(messages.c.id.desc())
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return found


def _has_marks(connection: Connection) -> bool:
    return bool(connection.scalar(sa.select(sa.func.to_regclass("control.alert_marks").is_not(None))))


def _next_repeat_at(repeat_seconds: int) -> sa.ColumnElement[datetime] | None:
    if not repeat_seconds:
        return None
    return sa.func.clock_timestamp() + sa.func.make_interval(0, 0, 0, 0, 0, 0, repeat_seconds)


def _channel(row: Row[Any]) -> StoredChannel:
    filters = ChannelFilters.model_validate(row.filters)
    return StoredChannel(
        row.channel_id, row.tenant_id, filters, row.repeat_seconds, row.is_grouped, row.kind, row.created_at
    )


def _alert(row: Row[Any]) -> StoredAlert:
    return StoredAlert(row.channel_id, row.alert_id, _open_decoder.decode(row.opened), row.num_repeats)
