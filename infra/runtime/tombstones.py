"""What was erased and must never come back: the list that every reader of topics asks.

Upstream: table ``control.erased``; erasures add to it, nothing takes from it.
Downstream: the sink stores none of it, the stitcher applies none of it, the live window shows none of it.
Guarantee: pure but for :func:`read_tombstones` and :func:`add_tombstones`. Whoever knows the newest number (``rev``)
knows all tombstones: a number is given under a lock that ends with the commit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.database import SCHEMA

TombstoneKind = Literal["trace", "run", "session", "tenant"]

_erased: Final = sa.table(
    "erased",
    *(sa.column(name, sa.Text) for name in ("tenant_id", "kind", "target", "erasure_id")),
    sa.column("before_us", sa.BigInteger),
    schema=SCHEMA,
)
_head: Final = sa.table("erased_head", sa.column("rev", sa.BigInteger), schema=SCHEMA)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One thing that was erased.

    ``before_us`` (UTC, microseconds) limits a session, which goes on under its key: what happened before is erased.
    """

    tenant_id: str
    kind: TombstoneKind
    target: str
    before_us: int | None = None


@dataclass(frozen=True)
class Tombstones:
    """All tombstones up to a number."""

    rev: int = 0
    tenants: frozenset[str] = frozenset()
    _of_tenant: dict[str, dict[tuple[TombstoneKind, str], int | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, rev: int, stones: Iterable[Tombstone]) -> "Tombstones":
        """Sort tombstones for look-up."""
        of_tenant: dict[str, dict[tuple[TombstoneKind, str], int | None]] = {}
        for stone in stones:
            of_tenant.setdefault(stone.tenant_id, {})[stone.kind, stone.target] = stone.before_us
        tenants = frozenset(tenant for tenant, kinds in of_tenant.items() if ("tenant", tenant) in kinds)
        return cls(rev, tenants, of_tenant)

    def concerns(self, tenant_id: str) -> bool:
        """Whether anything of the tenant was ever erased; for nearly all nothing else need be asked."""
        return tenant_id in self._of_tenant

    def covers(
        self,
        tenant_id: str,
        *,
        trace_id: str | None = None,
        run_id: str | None = None,
        sessions: Iterable[str | None] = (),
        at_us: int | None = None,
    ) -> bool:
        """Whether something with these names was erased.

        ``sessions`` are its session key and session id; ``at_us`` is when it happened or began (UTC, microseconds),
        None when that is not known, which does not save it.
        """
        kinds = self._of_tenant.get(tenant_id)
        if kinds is None:
            return False
        if tenant_id in self.tenants:
            return True
        if trace_id is not None and ("trace", trace_id) in kinds:
            return True
        if run_id is not None and ("run", run_id) in kinds:
            return True
        for session in sessions:
            if session is not None and ("session", session) in kinds:
                before_us = kinds["session", session]
                if before_us is None or at_us is None or at_us < before_us:
                    return True
        return False


NO_TOMBSTONES: Final = Tombstones()


def read_rev(connection: Connection) -> int:
    """Number of the newest tombstone; 0 when there never was one."""
    return int(connection.execute(sa.select(_head.c.rev)).scalar_one())


def read_tombstones(connection: Connection, known: Tombstones = NO_TOMBSTONES) -> Tombstones:
    """Return all tombstones; those that are known, when there are no new ones."""
    rev = read_rev(connection)
    if rev == known.rev:
        return known
    columns = _erased.c
    rows = connection.execute(sa.select(columns.tenant_id, columns.kind, columns.target, columns.before_us))
    return Tombstones.of(rev, (Tombstone(*row) for row in rows))


def add_tombstones(connection: Connection, erasure_id: str, stones: Iterable[Tombstone]) -> None:
    """Store tombstones in the caller's transaction; one that is there already grows, and never shrinks."""
    # First the lock of the head: numbers follow the order of the commits.
    connection.execute(sa.update(_head).values(rev=_head.c.rev + 1))
    rows = [
        {
            "tenant_id": stone.tenant_id,
            "kind": stone.kind,
            "target": stone.target,
            "before_us": stone.before_us,
            "erasure_id": erasure_id,
        }
        for stone in stones
    ]
    if not rows:
        return
    statement = insert(_erased)
    # GREATEST would pass NULL, which means for ever, over.
    later = sa.case(
        (sa.or_(_erased.c.before_us.is_(None), statement.excluded.before_us.is_(None)), sa.null()),
        else_=sa.func.greatest(_erased.c.before_us, statement.excluded.before_us),
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["tenant_id", "kind", "target"], set_={"before_us": later}), rows
    )
