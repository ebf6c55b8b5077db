"""Leaves out of rows what was erased.

Upstream: infra.runtime.tombstones.
Downstream: the sink, before it writes files; lakehouse.erasure and lakehouse.rebuild, which ask the same question of
rows that are in the tables, or are to be.
Guarantee: pure. One answer for all three: what an erasure takes out of the tables is what the sink stores no more.
"""

from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from infra.runtime.tombstones import Tombstone, TombstoneKind, Tombstones
from lakehouse.contracts.tables import TableSpec


@dataclass(frozen=True, slots=True)
class _Names:
    """Columns that name what a row is about; ``label:x`` is the entry x of the map ``labels``."""

    trace: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    at: str = ""


_NAMES: dict[str, _Names] = {
    "events": _Names(("trace_id",), ("run_id",), ("session_key", "session_id"), "at"),
    "spans": _Names(("trace_id",), ("run_id",), ("session_key",), "started_at"),
    "edges": _Names(("trace_id",)),
    "traces": _Names(("trace_id",), (), ("session_key",), "started_at"),
    "alerts": _Names(("trace_id",), ("label:run_id",), ("label:session_key",), "at"),
    "cards": _Names(("trace_id",)),
    "scores": _Names(("trace_id",)),
    "verdicts": _Names((), ("scope:run",), ("scope:session",), "issued_at"),
    "agents": _Names(),
    "tenants": _Names(),
}


def naming_columns(spec: TableSpec) -> tuple[str, ...]:
    """Columns of a table that :func:`refused` looks at."""
    names = _NAMES[spec.name]
    found = ["tenant_id"] + (["agent_id"] if any(column.name == "agent_id" for column in spec.columns) else [])
    for name in (*names.trace, *names.run, *names.session, names.at):
        kind, _, _ = name.partition(":")
        found += {"label": ["labels"], "scope": ["scope", "scope_id"], "": []}.get(kind, [name])
    return tuple(dict.fromkeys(found))


def refused(spec: TableSpec, rows: pa.Table, stones: Tombstones) -> pa.ChunkedArray | pa.Array:
    """Say of each row whether it was erased; rows need have the naming columns only."""
    nothing = pa.repeat(pa.scalar(False), rows.num_rows)
    tenants = sorted(stones.tenants.intersection(pc.unique(rows["tenant_id"]).to_pylist()))
    return reduce(pc.or_, (_refused_of(spec, rows, stones, tenant_id) for tenant_id in tenants), nothing)


def without_refused(spec: TableSpec, rows: pa.Table, stones: Tombstones) -> pa.Table:
    """Return the rows that were not erased."""
    if not stones.tenants.intersection(pc.unique(rows["tenant_id"]).to_pylist()):
        return rows
    return rows.filter(pc.invert(refused(spec, rows, stones)))


def _refused_of(spec: TableSpec, rows: pa.Table, stones: Tombstones, tenant_id: str) -> pa.ChunkedArray | pa.Array:
    of_tenant = pc.equal(rows["tenant_id"], tenant_id)
    if stones.has_tenant(tenant_id):
        return of_tenant
    names = _NAMES[spec.name]
    parts = []
    columns_of_kind: tuple[tuple[TombstoneKind, tuple[str, ...]], ...] = (
        ("trace", names.trace),
        ("run", names.run),
        ("session", names.session),
    )
    for kind, columns in columns_of_kind:
        for column in columns:
            found = stones.of_tenant(tenant_id, kind)
            parts += [_matches(rows, column, names.at, group) for group in _alike(found)]
    if spec.name == "events":
        nameless = pc.and_(pc.is_null(rows["trace_id"]), pc.is_null(rows["run_id"]))
        for column in names.session:
            windows = _alike(stones.of_tenant(tenant_id, "window"))
            parts += [pc.and_(nameless, _matches(rows, column, names.at, group)) for group in windows]
    nothing = pa.repeat(pa.scalar(False), rows.num_rows)
    return pc.and_(of_tenant, reduce(pc.or_, parts, nothing))


def _alike(stones: tuple[Tombstone, ...]) -> list[list[Tombstone]]:
    """Group those that differ in their target only: one look at the rows does for all of a group."""
    groups: dict[tuple[str, int, int], list[Tombstone]] = {}
    for stone in stones:
        groups.setdefault((stone.agent_id, stone.after_us, stone.before_us), []).append(stone)
    return list(groups.values())


def _matches(rows: pa.Table, column: str, at: str, alike: list[Tombstone]) -> pa.ChunkedArray | pa.Array:
    first = alike[0]
    found = pc.is_in(_values(rows, column), pa.array([stone.target for stone in alike], pa.string()))
    if first.agent_id:
        found = pc.and_(found, pc.fill_null(pc.equal(rows["agent_id"], first.agent_id), False))
    if at and first != Tombstone(first.tenant_id, first.kind, first.target, first.agent_id):
        instants = rows[at].cast(pa.int64())
        within = pc.and_(pc.greater_equal(instants, first.after_us), pc.less(instants, first.before_us))
        found = pc.and_(found, pc.fill_null(within, True))
    return found


def _values(rows: pa.Table, column: str) -> pa.ChunkedArray | pa.Array:
    kind, _, name = column.partition(":")
    if kind == "label":
        return pc.map_lookup(rows["labels"], pa.scalar(name), "first")
    if kind == "scope":
        of_scope = pc.equal(rows["scope"], name)
        return pc.if_else(of_scope, rows["scope_id"], pa.scalar(None, pa.string()))
    return rows[column]
