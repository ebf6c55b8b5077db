"""Writes an admitted query so that it reads less than its tenant may: no payload columns, only one agent's rows.

Upstream: api/sqlguard/admit.py, which let the text through.
Downstream: api/tracy/reader.py runs the result.
Guarantee: every view in the text is replaced by a subquery over it, so a renamed column or a star cannot get round
it. Tenants are kept apart by Trino, not by this.
"""

from collections.abc import Mapping
from typing import Final

from sqlglot import exp
from sqlglot.dialects.trino import Trino

from api.sqlguard.errors import SqlRefused
from infra.runtime.access_keys import AGENT_ID

# What agents, tools and people wrote, whole. Everything else in the views is short.
PAYLOAD_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "spans": frozenset({"input", "output"}),
    "events": frozenset({"payload"}),
    "cards": frozenset({"reply"}),
}
_DIALECT = Trino()


def confine(
    sql: str, columns: Mapping[str, tuple[str, ...]], *, agent_id: str | None, with_payloads: bool
) -> tuple[str, str]:
    """Return the text to run, and a shorter one of the same numbers to show, which anybody may send to POST /v1/sql.

    Raises:
        SqlRefused: a view holds no agents and only one agent may be read.
        ValueError: the agent cannot be one.
    """
    if agent_id is not None and not AGENT_ID.fullmatch(agent_id):
        raise ValueError(f"not an agent id: {agent_id!r}")
    run = _narrowed(sql, columns, agent_id, frozenset() if with_payloads else frozenset(PAYLOAD_COLUMNS))
    shown = sql if agent_id is None else _narrowed(sql, columns, agent_id, frozenset())
    return run, shown


def _narrowed(
    sql: str, columns: Mapping[str, tuple[str, ...]], agent_id: str | None, without_payloads: frozenset[str]
) -> str:
    tree = _DIALECT.parse(sql)[0]
    assert tree is not None
    for table in list(tree.find_all(exp.Table)):
        view = table.name.lower()
        # The guard lets no WITH name be that of a view, so the name decides.
        if view not in columns or (agent_id is None and view not in without_payloads):
            continue
        names = columns[view]
        if agent_id is not None and "agent_id" not in names:
            raise SqlRefused("unknown_table", f"{view} is not about one agent.", "Ask traces, spans, events or alerts.")
        table.replace(_subquery(table, view, names, agent_id, view in without_payloads))
    return _DIALECT.generator(comments=False).generate(tree)


def _subquery(
    table: exp.Table, view: str, names: tuple[str, ...], agent_id: str | None, without_payload: bool
) -> exp.Subquery:
    hidden = PAYLOAD_COLUMNS.get(view, frozenset()) if without_payload else frozenset()
    kept = [exp.column(name, quoted=True) for name in names if name not in hidden]
    inner = exp.select(*kept if hidden else [exp.Star()]).from_(exp.to_table(view))
    if agent_id is not None:
        inner = inner.where(exp.column("agent_id").eq(exp.Literal.string(agent_id)))
    alias = table.args.get("alias")
    joins = table.args.get("joins")
    return exp.Subquery(
        this=inner, alias=alias.copy() if alias else exp.TableAlias(this=exp.to_identifier(view)), joins=joins
    )
