"""What a list of traces may be narrowed and sorted by, as SQL.

Upstream: api/routers/traces.py, with values of the query or of a cursor.
Downstream: api/repositories/traces.py puts the pieces into its query.
Guarantee: values travel as parameters only; every order is total (it ends in the whole key), so a page can begin
behind any row. NULL comes last in both directions.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

TraceSort = Literal[
    "-started_at", "started_at", "-cost_usd", "cost_usd", "-duration_ms", "duration_ms", "-tokens", "tokens"
]

# Beyond every real value: where rows without one stand.
_NO_COST = {"DESC": "DECIMAL '-1'", "ASC": "DECIMAL '999999999999'"}
_NO_NUMBER = {"DESC": "-1", "ASC": "9223372036854775807"}
_TOKENS = "(input_tokens + cache_read_tokens + cache_write_tokens + output_tokens)"
_KEY = ("trace_date", "trace_id", "agent_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """Conditions that all must hold; None is no condition. ``text`` is looked for in names and errors."""

    agent_id: str | None = None
    openclaw_agent_id: str | None = None
    session_key: str | None = None
    category: str | None = None
    status: str | None = None
    min_cost_usd: Decimal | None = None
    max_cost_usd: Decimal | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    min_duration_ms: int | None = None
    max_duration_ms: int | None = None
    model: str | None = None
    tool: str | None = None
    has_error: bool | None = None
    text: str | None = None
    label: str | None = None

    def given(self) -> dict[str, Any]:
        """The conditions that are set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


# Condition -> SQL with one place for its value.
_CONDITIONS = {
    "agent_id": "agent_id = ?",
    "openclaw_agent_id": "openclaw_agent_id = ?",
    "session_key": "session_key = ?",
    "category": "category = ?",
    "status": "status = ?",
    "min_cost_usd": "cost_usd >= ?",
    "max_cost_usd": "cost_usd <= ?",
    "min_tokens": f"{_TOKENS} >= ?",
    "max_tokens": f"{_TOKENS} <= ?",
    "min_duration_ms": "duration_ms >= ?",
    "max_duration_ms": "duration_ms <= ?",
    "has_error": "has_error = ?",
    # As one text: keys (skill:deploy) and values (model names) may hold the colon between them. NULL before labels.
    "label": "any_match(map_entries(labels), entry -> entry[1] || ':' || entry[2] = ?)",
}


def filter_sql(wanted: TraceFilter, days: tuple[Any, Any]) -> tuple[list[str], list[Any]]:
    """Return conditions and their parameters. ``days`` are those that spans are looked for in, both included."""
    where, parameters = list[str](), list[Any]()
    for name, value in wanted.given().items():
        if name in _CONDITIONS:
            where.append(_CONDITIONS[name])
            parameters.append(value)
    if wanted.model is not None:
        # With and without the provider: people say "gpt-5" and mean "openai/gpt-5".
        where.append("any_match(models, model -> model = ? OR element_at(split(model, '/', 2), 2) = ?)")
        parameters += [wanted.model, wanted.model]
    if wanted.tool is not None:
        where.append(_in_spans("tool_name = ?"))
        parameters += [*days, wanted.tool]
    if wanted.text is not None:
        errors = _in_spans("strpos(lower(error), lower(?)) > 0")
        where.append(f"(strpos(lower(name), lower(?)) > 0 OR (num_errors > 0 AND {errors}))")
        parameters += [wanted.text, *days, wanted.text]
    return where, parameters


def _in_spans(condition: str) -> str:
    key = ", ".join(_KEY)
    return f"({key}) IN (SELECT {key} FROM spans WHERE trace_date BETWEEN ? AND ? AND {condition})"  # noqa: S608


def order_sql(sort: TraceSort) -> str:
    """ORDER BY of a sort."""
    direction = _direction(sort)
    return ", ".join(f"{term} {direction}" for term in (sort_value(sort), *_KEY))


def sort_value(sort: TraceSort) -> str:
    """SQL of the value that a sort goes by, never NULL."""
    direction = _direction(sort)
    match sort.removeprefix("-"):
        case "cost_usd":
            return f"coalesce(cost_usd, {_NO_COST[direction]})"
        case "duration_ms":
            return f"coalesce(duration_ms, {_NO_NUMBER[direction]})"
        case "tokens":
            return _TOKENS
    return "started_at"


def behind_sql(sort: TraceSort, value: Any, key: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Return the condition for the rows that come behind a row, and its parameters.

    ``key`` is trace_date, trace_id and agent_id.
    """
    sign = "<" if _direction(sort) == "DESC" else ">"
    by = sort_value(sort)
    # The first comparison alone can be used to skip files; the second decides.
    sql = f"({by} {sign}= ? AND ({by} {sign} ? OR ({', '.join(_KEY)}) {sign} (?, ?, ?)))"
    return sql, [value, value, *key]


def _direction(sort: str) -> Literal["ASC", "DESC"]:
    return "DESC" if sort.startswith("-") else "ASC"
