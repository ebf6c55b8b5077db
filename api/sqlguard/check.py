"""The allow-list: which nodes, tables and functions the tree of a query may hold.

Upstream: admit.py parses the text.
Downstream: nothing; it only refuses.
Guarantee: every node of the tree is looked at, and a node of a type that is not listed here is refused. New syntax
of the parser is therefore closed until somebody opens it.
"""

import difflib
import re
from collections.abc import Mapping

from sqlglot import exp
from sqlglot.dialects.trino import Trino

from api.sqlguard.errors import SqlRefused
from api.sqlguard.functions import ALLOWED_FUNCTIONS

VIEW_SCHEMA = "clawtrace"

_PLAIN_NODES: tuple[type[exp.Expr], ...] = (
    # queries
    exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Lateral,
    exp.Table, exp.TableAlias, exp.Values, exp.Unnest, exp.Where, exp.Group, exp.Rollup, exp.Cube, exp.GroupingSets,
    exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Fetch, exp.LimitOptions, exp.Offset, exp.Distinct,
    # names and values
    exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.HexString, exp.Alias, exp.Var,
    exp.Dot, exp.Tuple, exp.Interval, exp.IntervalSpan, exp.DataType, exp.DataTypeParam, exp.ColumnDef,
    # operators
    exp.Paren, exp.Not, exp.Neg, exp.Is, exp.In, exp.Between, exp.Like, exp.Escape, exp.EQ, exp.NEQ, exp.GT, exp.GTE,
    exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod,
    exp.DPipe, exp.AtTimeZone, exp.Bracket, exp.Slice, exp.Lambda, exp.All, exp.Any, exp.Exists,
    # aggregates and windows
    exp.Filter, exp.Window, exp.WindowSpec, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls,
    # JSON paths and objects
    exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript, exp.JSONPathWildcard, exp.JSONKeyValue,
    exp.JSONValue, exp.JSONExtractQuote, exp.OnCondition,
)  # fmt: skip
# Functions to the parser, but written as syntax: no name to look up.
_SYNTAX_FUNCTIONS: tuple[type[exp.Expr], ...] = (
    exp.And, exp.Or, exp.Case, exp.If, exp.Cast, exp.TryCast, exp.Array, exp.Map, exp.Struct, exp.Unnest, exp.Extract,
    exp.Exists, exp.DPipe, exp.ArrayContains, exp.RegexpLike,
)  # fmt: skip

# What other engines have, by the parser's name of it.
_INSTEAD = {
    "ilike": "Write lower(name) LIKE '%notes%'.",
    "qualify": "Name the window function in a WITH, and filter by it outside.",
}
_CALL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\(|$)")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE_PARTS = frozenset({"this", "db", "alias", "joins"})
_DIALECT = Trino()


def check_tree(tree: exp.Expr, columns: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Refuse a tree that holds anything unlisted; return the views it reads, sorted.

    Raises:
        SqlRefused: with the reason and the fix.
    """
    named = _cte_names(tree, columns)
    tables: set[str] = set()
    for node in tree.walk():
        if isinstance(node, exp.Table):
            tables.update(_check_table(node, named, columns))
        elif isinstance(node, exp.Func):
            _check_function(node)
        elif not isinstance(node, _PLAIN_NODES):
            _refuse_node(node)
        elif isinstance(node, exp.Lateral) and not isinstance(node.this, exp.Subquery):
            raise SqlRefused("table_function", "Table functions are not available.", "Use UNNEST for arrays.")
        elif isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            raise SqlRefused("unknown_function", "Only built-in functions can be called.", "Leave the schema out.")
        elif isinstance(node, exp.Identifier) and ("$" in node.name or "\x00" in node.name):
            hint = "Ask for the columns that DESCRIBE <table> lists."
            raise SqlRefused("hidden_column", f"{node.name!r} is not available.", hint)
        elif isinstance(node, exp.Identifier) and not node.quoted and not _PLAIN_NAME.fullmatch(node.name):
            # The parser takes ` and letters of other scripts for parts of a name; the engine does not.
            hint = 'Names with other letters than a to z, digits and _ stand in "double quotes".'
            raise SqlRefused("unsupported_syntax", f"{node.name!r} is not a name.", hint)
        elif isinstance(node, exp.Var) and not _WORD.fullmatch(node.name):
            raise SqlRefused("unsupported_syntax", f"{node.name!r} is not understood here.")
        elif isinstance(node, exp.DataType) and node.this is exp.DType.USERDEFINED:
            raise SqlRefused("unsupported_syntax", f"There is no type {node.sql()!r}.")
        elif isinstance(node, exp.With) and node.args.get("udfs"):
            raise SqlRefused("unsupported_syntax", "WITH FUNCTION is not available.", "Use built-in functions.")
    return tuple(sorted(tables))


def _cte_names(tree: exp.Expr, columns: Mapping[str, tuple[str, ...]]) -> set[str]:
    names: set[str] = set()
    for cte in tree.find_all(exp.CTE):
        name = cte.alias
        if name.lower() in columns:
            # Otherwise a reader of the text, or of our log, could not tell which of the two is read.
            raise SqlRefused("name_taken", f"{name} is a table; a WITH name must be another.", f"Try my_{name}.")
        if not _PLAIN_NAME.fullmatch(name):
            raise SqlRefused("unsupported_syntax", f"{name!r} is not a plain name.", "Use letters, digits and _.")
        names.add(name.lower())
    return names


def _check_table(node: exp.Table, named: set[str], columns: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the view that a table node reads, if it is one."""
    if not isinstance(node.this, exp.Identifier):
        raise SqlRefused("table_function", "Table functions are not available.", "Use UNNEST for arrays.")
    if node.args.get("version") or node.args.get("when"):
        raise SqlRefused("time_travel", "FOR VERSION and FOR TIMESTAMP are not available.", "Filter by started_at.")
    if extra := sorted(key for key, value in node.args.items() if value and key not in _TABLE_PARTS | {"catalog"}):
        raise SqlRefused("unsupported_syntax", f"A table cannot have {extra[0].upper()} here.")
    name, schema = node.name.lower(), node.db.lower()
    if "$" in name:
        raise SqlRefused("metadata_table", f"{node.name!r} is a metadata table.", _tables_hint(columns))
    if not node.catalog and not schema and name in named:
        return []
    if node.catalog or schema not in ("", VIEW_SCHEMA) or name not in columns:
        given = ".".join(part for part in (node.catalog, node.db, node.name) if part)
        close = difflib.get_close_matches(name, columns, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise SqlRefused("unknown_table", f"There is no table {given!r}.", hint + _tables_hint(columns))
    return [name]


def _check_function(node: exp.Func) -> None:
    if isinstance(node, _SYNTAX_FUNCTIONS):
        return
    name = node.name if isinstance(node, exp.Anonymous) else _called_name(node)
    if name.lower() not in ALLOWED_FUNCTIONS:
        close = difflib.get_close_matches(name.lower(), ALLOWED_FUNCTIONS, n=1)
        hint = f"Did you mean {close[0]}?" if close else "Trino's built-in functions that compute are available."
        raise SqlRefused("unknown_function", f"There is no function {name.lower()!r}.", hint)


def _called_name(node: exp.Func) -> str:
    """Name under which Trino will see the call: the parser reads many spellings into one type."""
    match = _CALL.match(_DIALECT.generate(node, comments=False))
    return match.group(1) if match else type(node).__name__


def _refuse_node(node: exp.Expr) -> None:
    if isinstance(node, exp.Command | exp.DDL | exp.DML):
        raise SqlRefused("not_a_query", "The tables can only be read.", "Write one SELECT.")
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).lower()
    raise SqlRefused("unsupported_syntax", f"This kind of SQL is not available: {what}.", _INSTEAD.get(what, ""))


def _tables_hint(columns: Mapping[str, tuple[str, ...]]) -> str:
    return f"The tables are {', '.join(sorted(columns))}."
