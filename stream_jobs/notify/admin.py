"""What people do to channels: add, change, list, remove and try.

Upstream: ``clawtrace channels``; the API, through ``stream_jobs.admin``.
Downstream: Postgres; the notifier acts on it at once.
Guarantee: what cannot be, and what leads where nothing may be sent, is refused with the field's name before anything is
written; no secret is ever part of what is returned.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import IntegrityError

from infra.runtime.database import transaction
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.channel import Channel, InvalidChannel, parse_channel, reveal, shown
from stream_jobs.core.notify.message import Message, Told
from stream_jobs.notify.deliver import Deliverer, Outcome
from stream_jobs.notify.errors import NoSuchChannel
from stream_jobs.notify.outbound import Refused, Unreachable
from stream_jobs.notify.sealing import open_target, seal_target
from stream_jobs.notify.tables import channel_alerts, channels, messages
from stream_jobs.notify.vault import Vault

REMOVE_TIMEOUT_MS: Final = 40_000
# Where a secret goes: with another value of these, no stored secret is kept.
_PLACE: Final = ("kind", "url", "host", "port", "security")

Also = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class ListedChannel:
    """A channel as anybody of its tenant may read it."""

    tenant_id: str
    name: str
    kind: str
    target: dict[str, Any]
    filters: dict[str, Any]
    renotify_minutes: int
    num_open: int
    num_waiting: int
    num_dead: int
    created_at: datetime

    def as_builtins(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return found | {"created_at": self.created_at.isoformat(timespec="seconds")}


def add_channel(engine: Engine, vault: Vault, deliverer: Deliverer, channel: Channel, also: Also | None = None) -> None:
    """Store a new channel; ``also`` is done in the same transaction.

    Raises:
        InvalidChannel: its address may not be reached or has no address now, or its name is taken.
        VaultClosed: its secrets cannot be encrypted.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    _check_place(deliverer, channel)
    vault.ensure_key()
    channel_id = uuid.uuid4().hex
    values = {"channel_id": channel_id, "tenant_id": channel.tenant_id, "name": channel.name}
    values |= _values(vault, channel, channel_id)
    try:
        with transaction(engine) as connection:
            connection.execute(channels.insert().values(**values))
            if also is not None:
                also(connection)
    except IntegrityError:
        raise InvalidChannel(f"name: {channel.tenant_id} has a channel {channel.name} already") from None


def replace_channel(
    engine: Engine,
    vault: Vault,
    deliverer: Deliverer,
    name: str,
    tenant_id: str,
    values: Mapping[str, Any],
    also: Also | None = None,
) -> None:
    """Put a channel in the place of the tenant's one of this name; what is open in it, and what waits, stays.

    Fields of the target that ``values`` leaves out stay as they are, if it is of the same kind and leads to the same
    place; to another place no secret goes along. ``also`` is done in the same transaction.

    Raises:
        NoSuchChannel: the tenant has none of the name.
        InvalidChannel, VaultClosed, DatabaseAway: see :func:`add_channel`.
    """
    with transaction(engine) as connection:
        row = _find(connection, name, tenant_id)
    before, given = reveal(open_target(vault, row.sealed, row.channel_id)), dict(values["target"])
    if all(given.get(part, before.get(part)) == before.get(part) for part in _PLACE):
        given = before | given
    channel = parse_channel({**values, "tenant_id": tenant_id, "name": name, "target": given})
    _check_place(deliverer, channel)
    changed = _values(vault, channel, row.channel_id)
    with transaction(engine) as connection:
        # A message that is being delivered is waited for.
        connection.execute(sa.text(f"SET LOCAL statement_timeout = {REMOVE_TIMEOUT_MS}"))
        mine = channels.c.channel_id == row.channel_id
        if not connection.execute(channels.update().where(mine).values(**changed)).rowcount:
            raise NoSuchChannel(f"name: there is no channel {name}")
        if also is not None:
            also(connection)


def list_channels(engine: Engine, tenant_id: str | None = None) -> list[ListedChannel]:
    """Return all channels, or those of a tenant, by name.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """

    def count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        same = table.c.channel_id == channels.c.channel_id
        return sa.select(sa.func.count()).select_from(table).where(same, *conditions).scalar_subquery()

    statement = sa.select(
        channels,
        count(channel_alerts).label("num_open"),
        count(messages, messages.c.state == "waiting").label("num_waiting"),
        count(messages, messages.c.state == "dead").label("num_dead"),
    ).order_by(channels.c.tenant_id, channels.c.name)
    if tenant_id is not None:
        statement = statement.where(channels.c.tenant_id == tenant_id)
    with transaction(engine) as connection:
        rows = connection.execute(statement).all()
    return [
        ListedChannel(
            tenant_id=row.tenant_id,
            name=row.name,
            kind=row.kind,
            target=row.shown,
            filters=row.filters,
            renotify_minutes=row.renotify_minutes,
            num_open=row.num_open,
            num_waiting=row.num_waiting,
            num_dead=row.num_dead,
            created_at=row.created_at,
        )
        for row in rows
    ]


def remove_channel(engine: Engine, name: str, tenant_id: str | None = None, also: Also | None = None) -> str:
    """Remove a channel with all that waits for it; returns its tenant. ``also`` is done in the same transaction.

    Raises:
        InvalidChannel: there is none, or several tenants have one of the name.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    with transaction(engine) as connection:
        row = _find(connection, name, tenant_id)
        # A message that is being delivered is waited for.
        connection.execute(sa.text(f"SET LOCAL statement_timeout = {REMOVE_TIMEOUT_MS}"))
        connection.execute(channels.delete().where(channels.c.channel_id == row.channel_id))
        if also is not None:
            also(connection)
    return str(row.tenant_id)


def test_channel(
    engine: Engine, vault: Vault, deliverer: Deliverer, name: str, tenant_id: str | None, base_url: str
) -> Outcome:
    """Send a message that says it is a test, once and now; an incident it opens is closed again.

    Raises:
        InvalidChannel: there is no such channel.
        VaultClosed: its secrets cannot be decrypted.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    with transaction(engine) as connection:
        row = _find(connection, name, tenant_id)
    target = open_target(vault, row.sealed, row.channel_id)
    first = _test_message(row.tenant_id, name, base_url, is_over=False)
    outcome = deliverer.deliver(target, first)
    if outcome.is_sent and not row.is_grouped:
        outcome = deliverer.deliver(target, _test_message(row.tenant_id, name, base_url, is_over=True, same=first))
    return outcome


def chosen(tenant_id: str | None, name: str | None) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions on channels that a person has named."""
    wanted = ((channels.c.tenant_id, tenant_id), (channels.c.name, name))
    return [column == value for column, value in wanted if value is not None]


def _check_place(deliverer: Deliverer, channel: Channel) -> None:
    try:
        deliverer.check(channel.target)
    except (Refused, Unreachable) as error:
        field = "host" if channel.kind == "email" else "url"
        raise InvalidChannel(f"{field}: {error}") from None


def _values(vault: Vault, channel: Channel, channel_id: str) -> dict[str, Any]:
    return {
        "kind": channel.kind,
        "filters": channel.filters.model_dump(mode="json"),
        "renotify_minutes": channel.renotify_minutes,
        "repeat_seconds": channel.repeat_seconds,
        "is_grouped": channel.is_grouped,
        "shown": shown(channel.target),
        "sealed": seal_target(vault, channel.target, channel_id),
    }


def _find(connection: Connection, name: str, tenant_id: str | None) -> Row[Any]:
    rows = connection.execute(channels.select().where(*chosen(tenant_id, name))).all()
    if not rows:
        raise NoSuchChannel(f"name: there is no channel {name}; clawtrace channels list shows them")
    if len(rows) > 1:
        tenants = ", ".join(sorted(row.tenant_id for row in rows))
        raise InvalidChannel(f"tenant: {tenants} have a channel {name} each; name one with --tenant")
    return rows[0]


def _test_message(tenant_id: str, name: str, base_url: str, *, is_over: bool, same: Message | None = None) -> Message:
    now_us = time.time_ns() // 1000
    started_at_us = same.made_at_us if same else now_us
    alert_id = same.told[0].alert.alert_id if same else uuid.uuid4().hex
    alert = Alert(
        tenant_id=tenant_id,
        agent_id="clawtrace-test",
        alert_id=alert_id,
        rule="no_data",
        severity="info",
        state="ok" if is_over else "warn",
        message="This is a test of the channel; nothing has happened.",
        at_us=now_us,
        rev=0,
    )
    told = Told(alert=alert, severity="info", started_at_us=started_at_us)
    return Message(
        message_id=f"msg_{uuid.uuid4().hex}",
        tenant_id=tenant_id,
        channel_name=name,
        group_key="clawtrace-test",
        made_at_us=now_us,
        base_url=base_url,
        told=(told,),
    )
