"""Reads and writes where a tenant is told of alerts.

Upstream: stream_jobs.admin.
Downstream: api/routers/channels.py.
Guarantee: the scope's tenant only; every change has its audit row in the same transaction; a secret is in no row, no
answer and no log.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine

from api.repositories.control import Also, note, transact
from api.repositories.scope import Scope
from stream_jobs.admin import (
    Deliverer,
    Guard,
    ListedChannel,
    NotifierSettings,
    Outcome,
    Vault,
    add_channel,
    list_channels,
    remove_channel,
    replace_channel,
    test_channel,
)
from stream_jobs.contracts.channel import parse_channel


class ChannelsRepository:
    """Channels of one tenant."""

    def __init__(self, engine: Engine, settings: NotifierSettings) -> None:
        self._engine, self._settings = engine, settings
        self._vault = Vault(settings.notify_key_file)
        self._deliverer = Deliverer.behind(Guard(settings.allowed_networks))

    async def list_all(self, scope: Scope) -> list[ListedChannel]:
        """Return the channels in the order of their names."""
        return await asyncio.to_thread(list_channels, self._engine, scope.tenant_id)

    async def add(self, scope: Scope, name: str, values: Mapping[str, Any], *, actor: str) -> None:
        """Make a channel of target, filters and renotify_minutes.

        Raises:
            InvalidChannel, VaultClosed: see stream_jobs.admin.
        """
        channel = parse_channel({**values, "tenant_id": scope.tenant_id, "name": name})
        also = _noted(scope, actor, "channel.add", name, {"kind": channel.kind})
        await asyncio.to_thread(add_channel, self._engine, self._vault, self._deliverer, channel, also)

    async def replace(self, scope: Scope, name: str, values: Mapping[str, Any], *, actor: str) -> None:
        """Put a channel in the place of the one of this name; see replace_channel for what is kept.

        Raises:
            NoSuchChannel, InvalidChannel, VaultClosed: see stream_jobs.admin.
        """
        also = _noted(scope, actor, "channel.change", name, {"kind": values["target"]["kind"]})
        await asyncio.to_thread(
            replace_channel, self._engine, self._vault, self._deliverer, name, scope.tenant_id, values, also
        )

    async def remove(self, scope: Scope, name: str, *, actor: str) -> None:
        """Remove a channel.

        Raises:
            NoSuchChannel: there is none of the name.
        """
        also = _noted(scope, actor, "channel.remove", name, {})
        await asyncio.to_thread(remove_channel, self._engine, name, scope.tenant_id, also)

    async def send_test(self, scope: Scope, name: str, *, actor: str) -> Outcome:
        """Send a test message, now; return what came of it.

        Raises:
            NoSuchChannel, VaultClosed: see stream_jobs.admin.
        """
        outcome = await asyncio.to_thread(
            test_channel,
            self._engine,
            self._vault,
            self._deliverer,
            name,
            scope.tenant_id,
            self._settings.notify_base_url,
        )
        await transact(self._engine, _noted(scope, actor, "channel.test", name, {"is_sent": outcome.is_sent}))
        return outcome


def _noted(scope: Scope, actor: str, action: str, name: str, details: Mapping[str, Any]) -> Also:
    def also(connection: Connection) -> None:
        note(connection, scope.tenant_id, actor, action, name, details)

    return also
