"""Makes new hostile SQL out of the corpus: changes of the text and changes of its tree, one to three upon each other.

The same seed gives the same texts. What comes out may be nonsense; it must only never show a foreign row.
"""

import random
import re
from collections.abc import Callable

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError

Mutator = Callable[[str, random.Random], str]

_DIALECT = Trino()
_TEXT_OR_NAME = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VIEW = re.compile(r"\b(agents|alerts|cards|edges|events|spans|tenants|traces|verdicts)\b")
_LOOKALIKES = str.maketrans("aceopsxy", "\u0430\u0441\u0435\u043e\u0440\u0455\u0445\u0443")
_SPACES = (
    "\t", "\n", "\r\n", "\f", "\v", "\u00a0", "\u2003", "\u3000", "\u200b", "\ufeff", "\x00", "/**/", " /* {own} */ ",
    " -- {own}\n", " /* ' */ ", ' /* " */ ', "/*;*/", " /*+ x */ ", "/* /* */", " -- ' \n",
)  # fmt: skip
_QUOTES = {"'": ("\u2019", "\u02bc", "`", "''", "\\'"), '"': ("\u201c", "`", '""', "\u2033", "[")}
_FORBIDDEN = (
    "silver.{view}", "iceberg.silver.{view}", '"{view}$files"', 'silver."{view}$snapshots"', '"{view}$partitions"',
    'silver."{view}$manifests"', "system.runtime.queries", "information_schema.columns", "system.metadata.catalogs",
    "iceberg.information_schema.views", "iceberg.clawtrace.{view}", 'clawtrace."{view}$history"', "public.access_keys",
    "TABLE(iceberg.system.table_changes('silver', '{view}', 1, 2))", "silver.{view} FOR VERSION AS OF 1",
    "{view} FOR TIMESTAMP AS OF TIMESTAMP '2026-01-01 00:00:00 UTC'", "{view} TABLESAMPLE SYSTEM (100)",
    "UNNEST((SELECT array_agg(tenant_id) FROM silver.{view}))",
)  # fmt: skip
_COLUMNS = ('"$path"', '"$partition"', '"$file_modified_time"', "tenant_id", "current_user", "rev", "_pos", "*")
_WRAPS = (
    "SELECT * FROM ({sql}) AS w",
    "SELECT count(*) FROM ({sql}) AS w",
    "WITH w AS ({sql}) SELECT * FROM w",
    "WITH spans AS ({sql}) SELECT * FROM spans",
    "WITH RECURSIVE w(a) AS (SELECT tenant_id FROM agents UNION ALL ({sql})) SELECT * FROM w",
    "SELECT 'yes' WHERE EXISTS ({sql})",
    "SELECT tenant_id FROM tenants WHERE tenant_id IN ({sql})",
    "SELECT tenant_id FROM agents WHERE tenant_id >= ALL ({sql})",
    "SELECT ({sql}) AS w",
    "SELECT v.a, w.* FROM (VALUES 1) AS v(a) CROSS JOIN LATERAL ({sql}) AS w",
    "SELECT array_agg(w) FROM ({sql}) AS w",
    "({sql}) UNION ALL ({sql})",
    "({sql}) EXCEPT (SELECT 'x')",
    "SELECT 1 / (SELECT count(*) FROM ({sql}) AS w)",
    "SELECT * FROM UNNEST((SELECT array_agg(CAST(w AS json)) FROM ({sql}) AS w)) AS u(x)",
    "TABLE ({sql})",
    "{sql}; {sql}",
    "{sql};",
    "EXPLAIN {sql}",
    "EXPLAIN ANALYZE VERBOSE {sql}",
    "SHOW STATS FOR ({sql})",
    "EXECUTE IMMEDIATE '{escaped}'",
    "PREPARE p FROM {sql}",
    "CREATE VIEW clawtrace.leak AS {sql}",
    "CREATE TABLE clawtrace.leak AS {sql}",
    "INSERT INTO silver.agents {sql}",
    "SELECT * FROM TABLE(exclude_columns(input => TABLE({sql}), columns => DESCRIPTOR(name)))",
    "WITH FUNCTION f() RETURNS bigint RETURN 1 {sql}",
)


def mutations(seeds: list[str], count: int, *, own: str, foreign: str, seed: int = 20260301) -> list[str]:
    """Return ``count`` different texts, made from the templates ``seeds``."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        sql = chance.choice(seeds).replace("{{", "{").replace("}}", "}")
        for _ in range(chance.randint(1, 3)):
            sql = chance.choice(MUTATORS)(sql, chance)
        sql = sql.replace("{own}", own).replace("{foreign}", foreign)
        if sql not in seeds and len(sql) < 5_000:
            made[sql] = None
    return list(made)


def _outside(sql: str, change: Callable[[str], str]) -> str:
    """Change what is neither a string nor a quoted name."""
    parts, at = [], 0
    for match in _TEXT_OR_NAME.finditer(sql):
        parts += [change(sql[at : match.start()]), match.group()]
        at = match.end()
    return "".join([*parts, change(sql[at:])])


def _case(sql: str, chance: random.Random) -> str:
    # The braces of a template keep their names.
    parts = re.split(r"(\{\w+\}|'[^']*')", sql)
    return "".join(
        part if index % 2 else "".join(chance.choice((letter.upper(), letter.lower())) for letter in part)
        for index, part in enumerate(parts)
    )


def _space(sql: str, chance: random.Random) -> str:
    return _outside(
        sql, lambda part: re.sub(r" ", lambda _: chance.choice(_SPACES) if chance.random() < 0.3 else " ", part)
    )


def _quote(sql: str, chance: random.Random) -> str:
    mark = chance.choice([mark for mark in _QUOTES if mark in sql] or [""])
    return sql.replace(mark, chance.choice(_QUOTES[mark]), chance.choice((1, 2, -1))) if mark else sql


def _spell(sql: str, chance: random.Random) -> str:
    def respell(match: re.Match[str]) -> str:
        name = match.group()
        return chance.choice(
            (
                f'"{name}"', f'"{name.upper()}"', f"`{name}`", f"[{name}]", f'U&"\\00{ord(name[0]):02x}{name[1:]}"',
                name.translate(_LOOKALIKES), f"clawtrace.{name}", f'"clawtrace"."{name}"', f"iceberg.clawtrace.{name}",
                f'"clawtrace.{name}"', f'"{name}$refs"', f"silver.{name}", f'"silver"."{name}"', f"{name}@main",
            )
        )  # fmt: skip

    return _VIEW.sub(respell, sql, count=chance.choice((0, 1)))


def _table(sql: str, chance: random.Random) -> str:
    def replace(match: re.Match[str]) -> str:
        return chance.choice(_FORBIDDEN).replace("{view}", match.group())

    return _VIEW.sub(replace, sql, count=1)


def _wrap(sql: str, chance: random.Random) -> str:
    plain = sql.rstrip("; ")
    return chance.choice(_WRAPS).replace("{escaped}", plain.replace("'", "''")).replace("{sql}", plain)


def _name_own(sql: str, chance: random.Random) -> str:
    trick = chance.choice(
        ("{sql} -- '{own}'", "/* tenant_id = '{own}' */ {sql}", "{sql} /* '{own}'", "-- {own}\n{sql}")
    )
    return trick.replace("{sql}", sql)


def _swap_tenant(sql: str, chance: random.Random) -> str:
    if "{foreign}" in sql:
        return sql.replace("{foreign}", chance.choice(("{own}' OR tenant_id = '{foreign}", "%", "{foreign}", "{own}")))
    return sql.replace("{own}", "{foreign}")


def _tree(change: Callable[[exp.Expr, random.Random], exp.Expr | None]) -> Mutator:
    def mutate(sql: str, chance: random.Random) -> str:
        if not re.match(r"\(*(SELECT|WITH)\b", sql, re.IGNORECASE):
            return sql
        try:
            (tree,) = _DIALECT.parser(error_level=ErrorLevel.IMMEDIATE).parse(_DIALECT.tokenize(sql), sql)
            return sql if tree is None else _DIALECT.generate(change(tree, chance) or tree)
        except (SqlglotError, AssertionError, ValueError):
            # Not every nonsense is a tree, and not every tree of nonsense is a text.
            return sql

    return mutate


def _one(tree: exp.Expr, kind: type[exp.Expr], chance: random.Random) -> exp.Expr | None:
    found = list(tree.find_all(kind))
    return chance.choice(found) if found else None


def _change_column(tree: exp.Expr, chance: random.Random) -> None:
    column = _one(tree, exp.Column, chance)
    if column is not None:
        name = chance.choice(_COLUMNS)
        column.replace(exp.Star() if name == "*" else exp.to_identifier(name.strip('"'), quoted=name.startswith('"')))


def _change_table(tree: exp.Expr, chance: random.Random) -> None:
    table = _one(tree, exp.Table, chance)
    if table is not None:
        table.set("db", exp.to_identifier(chance.choice(("silver", "clawtrace", "information_schema", "Silver"))))
        if chance.random() < 0.3:
            table.set("catalog", exp.to_identifier(chance.choice(("iceberg", "system", "ICEBERG"))))


def _travel(tree: exp.Expr, chance: random.Random) -> None:
    table = _one(tree, exp.Table, chance)
    if table is not None:
        kind, at = chance.choice((("VERSION", "1"), ("VERSION", "9223372036854775807")))
        table.set("version", exp.Version(this=kind, kind="AS OF", expression=exp.Literal.number(at)))


def _change_where(tree: exp.Expr, chance: random.Random) -> None:
    where = _one(tree, exp.Where, chance)
    if where is None:
        return
    condition = where.this
    changed = chance.choice(
        (
            exp.not_(condition.copy()),
            exp.or_(condition.copy(), exp.true()),
            exp.or_(exp.column("tenant_id").neq("{own}"), condition.copy()),
            exp.column("tenant_id").eq("{foreign}"),
        )
    )
    where.set("this", changed)


def _join(tree: exp.Expr, chance: random.Random) -> None:
    select = _one(tree, exp.Select, chance)
    if isinstance(select, exp.Select) and select.args.get("from_") is not None:
        view = chance.choice(("agents", "tenants", "silver.tenants", "silver.agents"))
        side = chance.choice(("LEFT", "RIGHT", "FULL"))
        select.join(view, on="true", join_alias="j", join_type=side, copy=False, dialect=_DIALECT)


def _union(tree: exp.Expr, chance: random.Random) -> exp.Expr | None:
    if not isinstance(tree, exp.Select | exp.SetOperation):
        return None
    columns = ", ".join(["tenant_id"] * max(1, len(tree.named_selects)))
    view = chance.choice(("agents", "spans", "silver.spans", "events"))
    other = _DIALECT.parse(f"SELECT {columns} FROM {view}")[0]
    kind = chance.choice((exp.Union, exp.Intersect, exp.Except))
    return kind(this=tree.copy(), expression=other, distinct=chance.random() < 0.5)


def _call(tree: exp.Expr, chance: random.Random) -> None:
    column = _one(tree, exp.Column, chance)
    if column is not None:
        name = chance.choice(("max", "array_agg", "count", "approx_distinct", "upper", "to_utf8", "evil", "query_id"))
        column.replace(exp.Anonymous(this=name, expressions=[column.copy()]))


MUTATORS: tuple[Mutator, ...] = (
    _case, _space, _quote, _spell, _spell, _table, _wrap, _wrap, _name_own, _swap_tenant, _tree(_change_column),
    _tree(_change_table), _tree(_travel), _tree(_change_where), _tree(_change_where), _tree(_join), _tree(_union),
    _tree(_call),
)  # fmt: skip
