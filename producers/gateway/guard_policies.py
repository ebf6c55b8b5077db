"""Policies of agents, in Postgres.

Upstream: ``clawtrace guard set``; the API, through ``producers.admin``.
Downstream: the gateway's guard, ``clawtrace guard show``, the API.
Guarantee: a policy that cannot be is refused here with the reason, and by the table without one; the time of a change
is the database's, so that all gateways agree which change is newer. A row is never deleted: a gateway would not hear of
it; what is removed says what holds without a policy, and is not listed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.access_keys import AGENT_ID, TENANT_ID
from infra.runtime.database import metadata, transaction
from producers.contracts.guard import GuardPolicy, InvalidPolicy, check_policy

# A change is seen at its commit and dated before it: look back by more than a statement may last.
OVERLAP: Final = timedelta(seconds=10)

_AMOUNT: Final = sa.Numeric(18, 6)
guard_policies = sa.Table(
    "guard_policies",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("agent_id", sa.Text, primary_key=True),
    sa.Column("posture", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("run_limit_usd", _AMOUNT),
    sa.Column("session_limit_usd", _AMOUNT),
    sa.Column("agent_day_limit_usd", _AMOUNT),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

Agent = tuple[str, str]
# What is done in the same transaction.
Also = Callable[[Connection], None]
NO_POLICY: Final = GuardPolicy()


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy with whose it is."""

    tenant_id: str
    agent_id: str
    policy: GuardPolicy
    updated_at: datetime

    @property
    def agent(self) -> Agent:
        """Tenant and agent."""
        return self.tenant_id, self.agent_id


def change_policy(
    engine: Engine, tenant_id: str, agent_id: str, changes: Mapping[str, Any], *, also: Also | None = None
) -> StoredPolicy:
    """Change what is named of an agent's policy, and leave the rest as it is; return what it has become.

    Args:
        changes: values by name of GuardPolicy; None takes a limit away.
        also: done in the same transaction.

    Raises:
        InvalidPolicy: the tenant, the agent or a limit cannot be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    check_agent(tenant_id, agent_id)
    with transaction(engine) as connection:
        before = _locked(connection, tenant_id, agent_id)
        policy = msgspec.structs.replace(before.policy if before else NO_POLICY, **changes)
        check_policy(policy)
        if also is not None:
            also(connection)
        return _write(connection, tenant_id, agent_id, policy)


def remove_policy(engine: Engine, tenant_id: str, agent_id: str, *, also: Also | None = None) -> bool:
    """Let what holds without a policy hold for an agent; False when it has none.

    Raises:
        InvalidPolicy: the tenant or the agent cannot be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    check_agent(tenant_id, agent_id)
    with transaction(engine) as connection:
        before = _locked(connection, tenant_id, agent_id)
        if before is None or before.policy == NO_POLICY:
            return False
        if also is not None:
            also(connection)
        _write(connection, tenant_id, agent_id, NO_POLICY)
        return True


def find_policy(engine: Engine, tenant_id: str, agent_id: str) -> StoredPolicy | None:
    """Return the policy of one agent.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    columns = guard_policies.c
    rows = _run(
        engine, guard_policies.select().where(columns.tenant_id == tenant_id).where(columns.agent_id == agent_id)
    )
    return _stored(rows[0]) if rows else None


def list_policies(engine: Engine, tenant_id: str | None = None, agent_id: str | None = None) -> list[StoredPolicy]:
    """Return every policy, or those of one tenant or agent, by tenant and agent; none that says nothing.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    columns = guard_policies.c
    statement = guard_policies.select().order_by(columns.tenant_id, columns.agent_id)
    if tenant_id is not None:
        statement = statement.where(columns.tenant_id == tenant_id)
    if agent_id is not None:
        statement = statement.where(columns.agent_id == agent_id)
    return [it for it in map(_stored, _run(engine, statement)) if it.policy != NO_POLICY]


def changed_policies(engine: Engine, since: datetime) -> list[StoredPolicy]:
    """Return what changed since an instant, and a little of what changed before it.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    recent = guard_policies.select().where(guard_policies.c.updated_at > since - OVERLAP)
    return [_stored(row) for row in _run(engine, recent)]


def database_now(engine: Engine) -> datetime:
    """Return the database's clock, the one that changes are dated by.

    Raises:
        DatabaseAway: Postgres does not answer.
    """
    now = _run(engine, sa.select(sa.func.clock_timestamp()))[0][0]
    assert isinstance(now, datetime)
    return now


def check_agent(tenant_id: str, agent_id: str) -> None:
    """Refuse names that no key could carry.

    Raises:
        InvalidPolicy: the text says what can be.
    """
    if not TENANT_ID.fullmatch(tenant_id):
        raise InvalidPolicy(f"tenant {tenant_id!r}: use 6 to 32 small letters and digits")
    if not AGENT_ID.fullmatch(agent_id):
        raise InvalidPolicy(f"agent {agent_id!r}: use the name that its key was made with")


def _locked(connection: Connection, tenant_id: str, agent_id: str) -> StoredPolicy | None:
    # Two people who change different limits at once must not undo each other; a row lock would not hold back the
    # first two.
    connection.execute(sa.text("LOCK TABLE control.guard_policies IN SHARE ROW EXCLUSIVE MODE"))
    columns = guard_policies.c
    mine = sa.and_(columns.tenant_id == tenant_id, columns.agent_id == agent_id)
    row = connection.execute(guard_policies.select().where(mine)).first()
    return None if row is None else _stored(row)


def _write(connection: Connection, tenant_id: str, agent_id: str, policy: GuardPolicy) -> StoredPolicy:
    values = {
        **msgspec.structs.asdict(policy),
        # Not now(): two changes in one transaction, or in two that overlap, must not carry the same time.
        "updated_at": sa.func.clock_timestamp(),
    }
    statement = insert(guard_policies).values(tenant_id=tenant_id, agent_id=agent_id, **values)
    statement = statement.on_conflict_do_update(index_elements=["tenant_id", "agent_id"], set_=values)
    return _stored(connection.execute(statement.returning(guard_policies)).one())


def _run(engine: Engine, statement: sa.Executable) -> list[Row[Any]]:
    with transaction(engine) as connection:
        return list(connection.execute(statement))


def _stored(row: Row[Any]) -> StoredPolicy:
    policy = GuardPolicy(
        posture=row.posture,
        action=row.action,
        run_limit_usd=row.run_limit_usd,
        session_limit_usd=row.session_limit_usd,
        agent_day_limit_usd=row.agent_day_limit_usd,
    )
    return StoredPolicy(row.tenant_id, row.agent_id, policy, row.updated_at)
