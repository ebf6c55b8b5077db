"""What the keeper reads and writes in Postgres, inside the transaction of its caller.

Upstream: ``keeper`` and ``admin``, which begin and commit.
Downstream: the tables of migration 0003.
Guarantee: whoever changes a budget holds the lock of the keeper's one row first, so there is one order of changes and
one number for each.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.access_keys import access_keys
from infra.runtime.guard_audit import guard_audit
from stream_jobs import outbox as outbox_rows
from stream_jobs.budgets.tables import budgets, keeper, outbox, spend_buckets
from stream_jobs.contracts.budget import Budget
from stream_jobs.core.budgets.settlement import Charge
from stream_jobs.core.budgets.state import BudgetState, decode_state, encode_state
from stream_jobs.core.budgets.windows import DAY_US, FINEST_BUCKET_US
from stream_jobs.outbox import OutboxRow

# A month and what may come late for it.
KEEP_BUCKETS_US: Final = 35 * DAY_US


@dataclass(slots=True)
class StoredBudget:
    """A budget with its state."""

    budget: Budget
    state: BudgetState


def lock(connection: Connection) -> tuple[int, int]:
    """Wait for the turn to change budgets; return the newest rev and the last row of the audit that was seen."""
    row = connection.execute(sa.select(keeper.c.rev, keeper.c.last_audit_id).with_for_update()).one()
    return int(row.rev), int(row.last_audit_id)


def advance(connection: Connection, rev: int, last_audit_id: int) -> None:
    """Note the rev that this transaction has used."""
    connection.execute(keeper.update().values(rev=rev, last_audit_id=last_audit_id))


def count_spends(connection: Connection, charges: Iterable[tuple[str, Charge]]) -> None:
    """Add spends (with their tenants) to the buckets that new budgets begin from."""
    sums: dict[tuple[str, str, str, int], list[Any]] = {}
    for tenant_id, charge in charges:
        bucket_us = charge.at_us - charge.at_us % FINEST_BUCKET_US
        key = (tenant_id, charge.agent_id, charge.spend.openclaw_agent_id, bucket_us)
        counted = sums.setdefault(key, [Decimal(0), 0, 0])
        counted[0] += charge.spend.cost_usd
        counted[1] += charge.spend.num_tokens
        counted[2] += 1
    if not sums:
        return
    names = ("tenant_id", "agent_id", "openclaw_agent_id", "bucket_us")
    values = ("cost_usd", "num_tokens", "num_spends")
    # Sorted: whoever locks rows in one order never waits in a circle.
    rows = [dict(zip((*names, *values), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
    statement = insert(spend_buckets).values(rows)
    added = {name: spend_buckets.c[name] + statement.excluded[name] for name in values}
    connection.execute(statement.on_conflict_do_update(index_elements=list(names), set_=added))


def spends_since(connection: Connection, budget: Budget, since_us: int) -> list[tuple[int, Decimal, int]]:
    """Return (bucket_us, cost_usd, num_tokens) of what counts under a budget, oldest first."""
    columns = spend_buckets.c
    statement = (
        sa.select(columns.bucket_us, sa.func.sum(columns.cost_usd), sa.func.sum(columns.num_tokens))
        .where(columns.tenant_id == budget.tenant_id, columns.bucket_us >= since_us)
        .group_by(columns.bucket_us)
        .order_by(columns.bucket_us)
    )
    if budget.agent_id is not None:
        statement = statement.where(columns.agent_id == budget.agent_id)
    if budget.openclaw_agent_id is not None:
        statement = statement.where(columns.openclaw_agent_id == budget.openclaw_agent_id)
    return [(row[0], row[1], int(row[2])) for row in connection.execute(statement)]


def read_budgets(
    connection: Connection,
    *,
    tenants: Collection[str] = (),
    due_us: int | None = None,
    budget_id: str | None = None,
    everything: bool = False,
) -> list[StoredBudget]:
    """Return the budgets of these tenants, those to be looked at by now, one, or all; by id."""
    columns = budgets.c
    chosen: list[sa.ColumnElement[bool]] = [columns.tenant_id.in_(sorted(tenants))] if tenants else []
    if due_us is not None:
        chosen.append(columns.wake_at_us <= due_us)
    if budget_id is not None:
        chosen.append(columns.budget_id == budget_id)
    if not chosen and not everything:
        return []
    statement = budgets.select().order_by(columns.tenant_id, columns.budget_id)
    if not everything:
        statement = statement.where(sa.or_(*chosen))
    return [_stored(row) for row in connection.execute(statement)]


def write_budget(connection: Connection, budget: Budget, state: BudgetState) -> None:
    """Store a budget that is new or was changed by a person; the keeper looks at it at once."""
    values = {name: getattr(budget, name) for name in Budget.__struct_fields__}
    values |= {"state": encode_state(state), "wake_at_us": 0, "updated_at": sa.func.clock_timestamp()}
    statement = insert(budgets).values(**values)
    changed = {name: value for name, value in values.items() if name != "budget_id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["budget_id"], set_=changed))


def write_states(connection: Connection, changed: Sequence[tuple[StoredBudget, int]]) -> None:
    """Store states, each with when to look again."""
    if not changed:
        return
    statement = (
        budgets.update()
        .where(budgets.c.budget_id == sa.bindparam("which"))
        .values(state=sa.bindparam("new_state"), wake_at_us=sa.bindparam("new_wake_at_us"))
    )
    rows = [
        {"which": it.budget.budget_id, "new_state": encode_state(it.state), "new_wake_at_us": wake_at_us}
        for it, wake_at_us in changed
    ]
    connection.execute(statement, rows)


def delete_budget(connection: Connection, budget_id: str) -> None:
    """Remove a budget."""
    connection.execute(budgets.delete().where(budgets.c.budget_id == budget_id))


def put(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Write records to be sent, in this order, once the transaction is done."""
    outbox_rows.put(connection, outbox, rows)


def unsent(connection: Connection) -> list[OutboxRow]:
    """Return the oldest records that nobody has marked as sent."""
    return outbox_rows.unsent(connection, outbox)


def mark_sent(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Note that the broker has these records; a crash that forgets it only has them sent again."""
    outbox_rows.mark_sent(connection, outbox, rows)


def is_anything_due(connection: Connection, now_us: int, last_audit_id: int) -> bool:
    """Whether there is something to do although nothing was spent."""
    due = sa.select(sa.literal(1)).where(budgets.c.wake_at_us <= now_us)
    waiting = sa.select(sa.literal(1)).where(outbox.c.sent_at.is_(None))
    orders = sa.select(sa.literal(1)).where(guard_audit.c.id > last_audit_id)
    return bool(connection.scalar(sa.select(sa.or_(due.exists(), waiting.exists(), orders.exists()))))


def agents_by_tenant(connection: Connection) -> dict[str, list[str]]:
    """Return the installs that may send, by tenant."""
    columns = access_keys.c
    rows = connection.execute(
        sa.select(columns.tenant_id, columns.agent_id)
        .where(columns.agent_id.is_not(None), columns.scope == "ingest", columns.revoked_at.is_(None))
        .distinct()
        .order_by(columns.tenant_id, columns.agent_id)
    )
    found: dict[str, list[str]] = {}
    for tenant_id, agent_id in rows:
        found.setdefault(tenant_id, []).append(agent_id)
    return found


def drop_old(connection: Connection, now_us: int) -> None:
    """Drop what no window needs any more, and records that were sent long ago."""
    connection.execute(spend_buckets.delete().where(spend_buckets.c.bucket_us < now_us - KEEP_BUCKETS_US))
    outbox_rows.drop_sent(connection, outbox)


def _stored(row: Row[Any]) -> StoredBudget:
    values = {name: getattr(row, name) for name in Budget.__struct_fields__}
    return StoredBudget(Budget(**values), decode_state(row.state))
