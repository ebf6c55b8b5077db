"""Policies of agents, in Postgres.

Upstream: ``clawtrace guard set``.
Downstream: the gateway's guard, ``clawtrace guard show``.
Guarantee: a policy that cannot be is refused here with the reason, and by the table without one; the time of a change
is the database's, so that all gateways agree which change is newer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Engine, Row
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


def set_policy(engine: Engine, tenant_id: str, agent_id: str, policy: GuardPolicy) -> None:
    """Store the policy of an agent in place of the one it has.

    Raises:
        InvalidPolicy: the tenant, the agent or a limit cannot be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    check_agent(tenant_id, agent_id)
    check_policy(policy)
    values = {
        "posture": policy.posture,
        "action": policy.action,
        "run_limit_usd": policy.run_limit_usd,
        "session_limit_usd": policy.session_limit_usd,
        "agent_day_limit_usd": policy.agent_day_limit_usd,
        # Not now(): two changes in one transaction, or in two that overlap, must not carry the same time.
        "updated_at": sa.func.clock_timestamp(),
    }
    statement = insert(guard_policies).values(tenant_id=tenant_id, agent_id=agent_id, **values)
    _run(engine, statement.on_conflict_do_update(index_elements=["tenant_id", "agent_id"], set_=values))


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


def list_policies(engine: Engine) -> list[StoredPolicy]:
    """Return every policy, by tenant and agent.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    columns = guard_policies.c
    return [_stored(row) for row in _run(engine, guard_policies.select().order_by(columns.tenant_id, columns.agent_id))]


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


def _run(engine: Engine, statement: sa.Executable) -> list[Row[Any]]:
    with transaction(engine) as connection:
        result = connection.execute(statement)
        return list(result) if result.returns_rows else []


def _stored(row: Row[Any]) -> StoredPolicy:
    policy = GuardPolicy(
        posture=row.posture,
        action=row.action,
        run_limit_usd=row.run_limit_usd,
        session_limit_usd=row.session_limit_usd,
        agent_day_limit_usd=row.agent_day_limit_usd,
    )
    return StoredPolicy(row.tenant_id, row.agent_id, policy, row.updated_at)
