"""Decides whether a SQL text may run, and writes it again from its tree.

Upstream: POST /v1/sql and `clawtrace sql` give the text; manifest.py names the views and columns.
Downstream: execute.py runs the text that comes out, never the one that went in.
Guarantee: an allow-list all the way (statement, node types, tables, functions), so that what is not understood is
refused. It exists for clear errors and row limits; isolation of tenants is Trino's work (infra/trino/rules.py)
and holds without it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from api.sqlguard.check import check_tree
from api.sqlguard.errors import SqlRefused

MAX_SQL_CHARS = 20_000
# A text within the length that still blows up the planner: thousands of ORs or columns.
MAX_NODES = 4_000
MAX_BRACKET_DEPTH = 25
# Of these, brackets that may begin a type as well as a value: [ { and a ( after the name of a type, as in ROW( or
# MAP(. The parser tries both readings, one within the other, so the time doubles with each level: 20 levels of
# ARRAY[ take two minutes. People write two or three.
MAX_TWO_WAY_DEPTH = 6

_QUERY_STARTS = frozenset({"SELECT", "WITH", "TABLE", "("})
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
_QUOTES_HINT = "Names stand in \"double quotes\", texts in 'single quotes'."
_DIALECT = Trino()
_TYPE_NAMES = frozenset(_DIALECT.parser().TYPE_TOKENS)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A text that may run; it gives at most ``max_rows + 1`` rows, the last one only to tell that there are more."""

    sql: str
    tables: tuple[str, ...]
    max_rows: int


def admit_sql(sql: str, columns: Mapping[str, tuple[str, ...]], max_rows: int) -> Admitted:
    """Check a text against the views and their ``columns`` and return what may run instead of it.

    Raises:
        SqlRefused: with the reason and the fix.
    """
    if len(sql) > MAX_SQL_CHARS:
        raise SqlRefused("too_long", f"The text is longer than {MAX_SQL_CHARS} characters.")
    try:
        tree = _parse(sql, columns)
        tables = check_tree(tree, columns)
        _limit_rows(tree, max_rows)
        text = _write(tree)
        # What Trino will read must say what was checked: parse it again and check that, too.
        again = _parse(text, columns)
        if check_tree(again, columns) != tables or _write(again) != text:
            raise SqlRefused("unsupported_syntax", "This text cannot be written again without changing it.")
    except RecursionError:
        raise SqlRefused("too_complex", "The text is nested too deeply.", "Use WITH to name its parts.") from None
    except SqlglotError as error:
        hint = _QUOTES_HINT if "`" in sql else ""
        raise SqlRefused("syntax_error", _first_line(error), hint) from None
    return Admitted(sql=text, tables=tables, max_rows=max_rows)


def _parse(sql: str, columns: Mapping[str, tuple[str, ...]]) -> exp.Expr:
    tokens = _DIALECT.tokenize(sql)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise SqlRefused("not_one_statement", "There is no statement.", "Write one SELECT.")
    _refuse_other_statements(tokens[0].text.upper(), sql, columns)
    if any(token.token_type is TokenType.SEMICOLON for token in tokens):
        raise SqlRefused("not_one_statement", "More than one statement.", "Send them one by one.")
    _refuse_deep_brackets(tokens)
    _refuse_decimal_literals(tokens)
    trees = _DIALECT.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise SqlRefused("not_one_statement", "This is not one statement.", "Write one SELECT.")
    tree = _unwrap(tree)
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise SqlRefused("not_a_query", "Only a query can run here.", "Write one SELECT.")
    if sum(1 for _ in tree.walk()) > MAX_NODES:
        raise SqlRefused("too_complex", "The text has too many parts.", "Ask in several queries.")
    return tree


def _refuse_other_statements(first: str, sql: str, columns: Mapping[str, tuple[str, ...]]) -> None:
    if first in _QUERY_STARTS:
        return
    words = re.findall(r"\w+", sql.lower())
    if first in {"DESCRIBE", "DESC"} or (first == "SHOW" and "columns" in words):
        raise SqlRefused("not_a_query", f"{first} is not available.", _describe(words, columns))
    if first == "SHOW":
        hint = f"The tables are {', '.join(sorted(columns))}. DESCRIBE <table> lists columns."
        raise SqlRefused("not_a_query", "SHOW is not available.", hint)
    if first in {"EXPLAIN", "ANALYZE"}:
        hint = "Plans and statistics tell about other tenants. Run the query itself, with LIMIT."
        raise SqlRefused("not_a_query", f"{first} is not available.", hint)
    if first == "VALUES":
        raise SqlRefused("not_a_query", "A bare VALUES is not a query here.", "Write SELECT * FROM (VALUES …) AS t(a).")
    raise SqlRefused("not_a_query", f"{first[:40]} is not available: the tables can only be read.", "Write one SELECT.")


def _describe(words: list[str], columns: Mapping[str, tuple[str, ...]]) -> str:
    for name, names in columns.items():
        if name in words:
            return f"The columns of {name} are {', '.join(names)}."
    return f"The tables are {', '.join(sorted(columns))}."


def _refuse_deep_brackets(tokens: Iterable[Token]) -> None:
    opened: list[bool] = []
    previous = TokenType.SEMICOLON
    for token in tokens:
        kind = token.token_type
        if kind in _OPENING:
            opened.append(kind is not TokenType.L_PAREN or previous in _TYPE_NAMES)
        elif kind in _CLOSING and opened:
            opened.pop()
        if len(opened) > MAX_BRACKET_DEPTH or sum(opened) > MAX_TWO_WAY_DEPTH:
            raise SqlRefused("too_complex", "The brackets are nested too deeply.", "Use WITH to name the parts.")
        previous = kind


def _refuse_decimal_literals(tokens: Iterable[Token]) -> None:
    """Refuse DECIMAL '1.5': the parser makes it a cast to decimal(38, 0), which is 2."""
    previous = None
    for token in tokens:
        is_text = token.token_type is TokenType.STRING
        if is_text and previous is not None and previous.token_type in (TokenType.DECIMAL, TokenType.BIGDECIMAL):
            hint = f"Write the number itself: {token.text}." if token.text.isascii() else ""
            raise SqlRefused("unsupported_syntax", "DECIMAL literals are not available.", hint)
        previous = token


def _unwrap(tree: exp.Expr) -> exp.Expr:
    """Take off brackets around the whole: Trino ignores the ORDER BY inside them once a LIMIT stands outside."""
    while isinstance(tree, exp.Subquery) and not any(value for key, value in tree.args.items() if key != "this"):
        tree = tree.this
    return tree


def _limit_rows(tree: exp.Expr, max_rows: int) -> None:
    most = max_rows + 1
    limit = tree.args.get("limit")
    wanted = limit.args.get("count" if isinstance(limit, exp.Fetch) else "expression") if limit else None
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and (options.args.get("with_ties") or options.args.get("percent")):
            raise SqlRefused("bad_limit", "FETCH … WITH TIES is not available.", "Use LIMIT.")
        wanted = wanted or exp.Literal.number(1)
    if wanted is not None and not (isinstance(wanted, exp.Literal) and wanted.name.isdecimal()):
        raise SqlRefused("bad_limit", "LIMIT takes a whole number.", f"At most {max_rows} rows are returned.")
    rows = most if wanted is None else min(int(wanted.name), most)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))


def _write(tree: exp.Expr) -> str:
    # Comments are left out: they carry nothing that may reach the engine.
    return _DIALECT.generator(comments=False, unsupported_level=ErrorLevel.RAISE).generate(tree)


def _first_line(error: SqlglotError) -> str:
    # The rest of the message underlines the place with terminal codes.
    line = str(error).splitlines()[0] if str(error) else "The text is not SQL."
    return line if line.endswith(".") else f"{line}."
