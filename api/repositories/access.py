"""Reads and writes who may do what: keys, members, the tenant's name, and the log of changes.

Upstream: tables ``control.access_keys``, ``members``, ``tenants`` and ``audit_log``.
Downstream: api/routers/access.py.
Guarantee: only the scope's tenant is read or changed; every change has its audit row in the same transaction; the
text of a key is returned once and stored nowhere.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import insert

from api.access.session_store import members
from api.repositories.control import audit_log, note, transact
from api.repositories.scope import Scope
from infra.runtime.access_keys import NewKey, access_keys, prepare_key
from infra.runtime.database import SCHEMA

_tenants = sa.table("tenants", sa.column("tenant_id", sa.Text), sa.column("name", sa.Text), schema=SCHEMA)
_KEY_COLUMNS = ("key_id", "agent_id", "scope", "created_at", "revoked_at", "last_used_at")
_AUDIT_COLUMNS = ("entry_id", "at", "actor", "action", "target", "details")


class KeysRepository:
    """Access keys of one tenant."""

    def __init__(self, engine: Engine, pepper: bytes) -> None:
        self._engine = engine
        self._pepper = pepper

    async def list_all(self, scope: Scope) -> list[dict[str, Any]]:
        """Return every key, newest first, revoked ones too; never a hash."""
        statement = (
            sa.select(*(access_keys.c[name] for name in _KEY_COLUMNS))
            .where(access_keys.c.tenant_id == scope.tenant_id)
            .order_by(access_keys.c.created_at.desc(), access_keys.c.key_id)
        )
        return await transact(self._engine, lambda connection: _dicts(connection.execute(statement)))

    async def has_agent(self, scope: Scope, agent_id: str) -> bool:
        """Whether any key of the tenant, a revoked one too, speaks for this agent."""
        statement = sa.select(sa.literal(1)).where(
            access_keys.c.tenant_id == scope.tenant_id, access_keys.c.agent_id == agent_id
        )
        return await transact(self._engine, lambda connection: connection.scalar(statement.limit(1)) is not None)

    async def create(self, scope: Scope, *, actor: str, key_scope: str, agent_id: str | None) -> NewKey:
        """Make a key.

        Raises:
            InvalidKeyRequest: the agent or the scope cannot be.
        """
        made, row = prepare_key(self._pepper, tenant_id=scope.tenant_id, agent_id=agent_id, scope=key_scope)

        def work(connection: Connection) -> NewKey:
            connection.execute(access_keys.insert().values(**row))
            details = {"scope": key_scope, "agent_id": agent_id}
            note(connection, scope.tenant_id, actor, "key.create", made.principal.key_id, details)
            return made

        return await transact(self._engine, work)

    async def revoke(self, scope: Scope, key_id: str, *, actor: str) -> bool:
        """Revoke a key; False when this tenant has none of that id. Revoking twice keeps the first instant."""
        columns = access_keys.c
        mine = sa.and_(columns.tenant_id == scope.tenant_id, columns.key_id == key_id)

        def work(connection: Connection) -> bool:
            found = connection.execute(sa.select(columns.revoked_at).where(mine).with_for_update()).first()
            if found is not None and found.revoked_at is None:
                connection.execute(access_keys.update().where(mine).values(revoked_at=sa.func.now()))
                note(connection, scope.tenant_id, actor, "key.revoke", key_id, {})
            return found is not None

        return await transact(self._engine, work)


class MembersRepository:
    """People of one tenant, and its name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_all(self, scope: Scope) -> list[dict[str, Any]]:
        """Return the members in the order of their ids."""
        columns = members.c
        statement = (
            sa.select(columns.member_id, columns.role, columns.created_at)
            .where(columns.tenant_id == scope.tenant_id)
            .order_by(columns.member_id)
        )
        return await transact(self._engine, lambda connection: _dicts(connection.execute(statement)))

    async def find_role(self, scope: Scope, member_id: str) -> str | None:
        """Return the role of a person; None when he or she is no member."""
        columns = members.c
        statement = sa.select(columns.role).where(
            columns.tenant_id == scope.tenant_id, columns.member_id == member_id.lower()
        )
        return await transact(self._engine, lambda connection: connection.scalar(statement))

    async def set_role(self, scope: Scope, member_id: str, role: str, *, actor: str) -> dict[str, Any]:
        """Make a person a member, or change the role."""
        key = {"tenant_id": scope.tenant_id, "member_id": member_id.lower()}
        columns = members.c
        statement = (
            insert(members)
            .values(**key, role=role)
            .on_conflict_do_update(index_elements=list(key), set_={"role": role})
            .returning(columns.member_id, columns.role, columns.created_at)
        )

        def work(connection: Connection) -> dict[str, Any]:
            row = connection.execute(statement).one()
            note(connection, scope.tenant_id, actor, "member.set", key["member_id"], {"role": role})
            return dict(row._mapping)

        return await transact(self._engine, work)

    async def remove(self, scope: Scope, member_id: str, *, actor: str) -> bool:
        """Remove a person; False when there is no such member."""
        columns = members.c
        mine = sa.and_(columns.tenant_id == scope.tenant_id, columns.member_id == member_id.lower())

        def work(connection: Connection) -> bool:
            found = connection.execute(sa.delete(members).where(mine).returning(columns.role)).first()
            if found is not None:
                note(connection, scope.tenant_id, actor, "member.remove", member_id.lower(), {"role": found.role})
            return found is not None

        return await transact(self._engine, work)

    async def find_name(self, scope: Scope) -> str | None:
        """Return the tenant's name for people; None when it has none."""
        statement = sa.select(_tenants.c.name).where(_tenants.c.tenant_id == scope.tenant_id)
        return await transact(self._engine, lambda connection: connection.scalar(statement))

    async def set_name(self, scope: Scope, name: str, *, actor: str) -> None:
        """Give the tenant a name for people."""
        statement = (
            insert(_tenants)
            .values(tenant_id=scope.tenant_id, name=name)
            .on_conflict_do_update(index_elements=["tenant_id"], set_={"name": name})
        )

        def work(connection: Connection) -> None:
            connection.execute(statement)
            note(connection, scope.tenant_id, actor, "tenant.rename", scope.tenant_id, {"name": name})

        await transact(self._engine, work)


class AuditRepository:
    """What was changed in one tenant, and by whom."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_newest(
        self, scope: Scope, *, from_at: datetime | None, to_at: datetime | None, before_id: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """Return entries of [from_at, to_at), newest first, those with an id below ``before_id`` only."""
        columns = audit_log.c
        statement = sa.select(*(columns[name] for name in _AUDIT_COLUMNS)).where(
            columns.tenant_id == scope.tenant_id,
            *([columns.at >= from_at] if from_at else []),
            *([columns.at < to_at] if to_at else []),
            *([columns.entry_id < before_id] if before_id is not None else []),
        )
        statement = statement.order_by(columns.entry_id.desc()).limit(limit)
        return await transact(self._engine, lambda connection: _dicts(connection.execute(statement)))


def _dicts(result: sa.CursorResult[Any]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in result]
