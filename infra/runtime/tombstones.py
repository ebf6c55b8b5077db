"""What was erased and must never come back: the list that every reader of topics asks.

Upstream: table ``control.erased``; erasures add to it, nothing takes from it.
Downstream: the sink stores none of it, the stitcher applies none of it, the live window shows none of it.
Guarantee: whoever knows the newest number (``rev``) knows all tombstones: a number is given under a lock that ends with
the commit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from infra.runtime.database import SCHEMA

# window: what names neither trace nor run, in a session and a stretch of time. OpenClaw writes messages so.
TombstoneKind = Literal["trace", "run", "session", "window", "tenant"]
# As an instant (UTC, microseconds): at all times.
ALWAYS_US: Final = (1 << 63) - 1

_erased: Final = sa.table(
    "erased",
    *(sa.column(name, sa.Text) for name in ("tenant_id", "kind", "target", "agent_id", "erasure_id")),
    sa.column("after_us", sa.BigInteger),
    sa.column("before_us", sa.BigInteger),
    schema=SCHEMA,
)
_head: Final = sa.table("erased_head", sa.column("rev", sa.BigInteger), schema=SCHEMA)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One thing that was erased: a trace, a run, a session, a window of a session, or the tenant itself.

    ``target`` is its id; of a session the key or the id. An empty ``agent_id`` stands for every install. Of sessions
    and windows only what happened in [after_us, before_us) (UTC, microseconds) is erased: sessions go on.
    """

    tenant_id: str
    kind: TombstoneKind
    target: str
    agent_id: str = ""
    after_us: int = 0
    before_us: int = ALWAYS_US

    def fits(self, agent_id: str, at_us: int) -> bool:
        """Whether an install and an instant are those of the tombstone."""
        return self.agent_id in ("", agent_id) and self.after_us <= at_us < self.before_us


@dataclass(frozen=True)
class Tombstones:
    """All tombstones up to a number."""

    rev: int = 0
    _of_tenant: Mapping[str, Sequence[Tombstone]] = field(default_factory=dict)
    _by_target: Mapping[tuple[str, TombstoneKind, str], Sequence[Tombstone]] = field(default_factory=dict)

    @classmethod
    def of(cls, rev: int, stones: Iterable[Tombstone]) -> "Tombstones":
        """Sort tombstones for look-up."""
        of_tenant: dict[str, list[Tombstone]] = defaultdict(list)
        by_target: dict[tuple[str, TombstoneKind, str], list[Tombstone]] = defaultdict(list)
        for stone in stones:
            of_tenant[stone.tenant_id].append(stone)
            by_target[stone.tenant_id, stone.kind, stone.target].append(stone)
        return cls(rev, dict(of_tenant), dict(by_target))

    @property
    def tenants(self) -> frozenset[str]:
        """Tenants of which anything was ever erased; of the others nothing else need be asked."""
        return frozenset(self._of_tenant)

    def news(self, known: "Tombstones") -> bool:
        """Whether any of these is not among those that are known."""
        return any(not set(stones) <= set(known._of_tenant.get(it, ())) for it, stones in self._of_tenant.items())

    def of_tenant(self, tenant_id: str, kind: TombstoneKind) -> tuple[Tombstone, ...]:
        """Tombstones of one kind of a tenant."""
        return tuple(stone for stone in self._of_tenant.get(tenant_id, ()) if stone.kind == kind)

    def has_tenant(self, tenant_id: str) -> bool:
        """Whether all of the tenant was erased."""
        return (tenant_id, "tenant", tenant_id) in self._by_target

    def cover(
        self,
        tenant_id: str,
        agent_id: str,
        at_us: int,
        *,
        trace_id: str | None = None,
        run_id: str | None = None,
        sessions: Iterable[str | None] = (),
        with_windows: bool = True,
    ) -> bool:
        """Whether something with these names, which happened or began then, was erased.

        ``sessions`` are its session key and its session id. Windows are asked only for what names neither trace nor
        run, and not at all where that cannot be a message.
        """
        if tenant_id not in self._of_tenant:
            return False
        if self.has_tenant(tenant_id):
            return True
        named: list[tuple[TombstoneKind, str | None]] = [("trace", trace_id), ("run", run_id)]
        named += [("session", session) for session in sessions]
        if with_windows and trace_id is None and run_id is None:
            named += [("window", session) for session in sessions]
        return any(
            stone.fits(agent_id, at_us)
            for kind, target in named
            if target is not None
            for stone in self._by_target.get((tenant_id, kind, target), ())
        )


NO_TOMBSTONES: Final = Tombstones()


def read_tombstones(connection: Connection, known: Tombstones = NO_TOMBSTONES) -> Tombstones:
    """Return all tombstones; those that are known, when there are no new ones."""
    rev = int(connection.execute(sa.select(_head.c.rev)).scalar_one())
    if rev == known.rev:
        return known
    names = ("tenant_id", "kind", "target", "agent_id", "after_us", "before_us")
    rows = connection.execute(sa.select(*(_erased.c[name] for name in names)))
    return Tombstones.of(rev, (Tombstone(*row) for row in rows))


def add_tombstones(connection: Connection, erasure_id: str, stones: Iterable[Tombstone]) -> None:
    """Store tombstones in the caller's transaction; one that is there already may reach further, never less far."""
    rows = [
        {name: getattr(stone, name) for name in Tombstone.__slots__} | {"erasure_id": erasure_id} for stone in stones
    ]
    if not rows:
        return
    # First the lock of the head: numbers follow the order of the commits.
    connection.execute(sa.update(_head).values(rev=_head.c.rev + 1))
    statement = insert(_erased)
    key = ["tenant_id", "kind", "target", "agent_id", "after_us"]
    reach = {"before_us": sa.func.greatest(_erased.c.before_us, statement.excluded.before_us)}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=reach), rows)
