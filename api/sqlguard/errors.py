"""What can be wrong with a SQL text, in words that name the fix.

Upstream: admit.py (before Trino sees the text) and execute.py (what Trino said).
Downstream: POST /v1/sql as problem+json, `clawtrace sql` on a terminal, later Tracy's tool.
Guarantee: a message never carries a value of the data. Messages that Trino writes while rows flow ("Cannot cast
'…' to integer") are replaced by ours.
"""

from typing import Literal

RefusalCode = Literal[
    "syntax_error",
    "too_long",
    "too_complex",
    "not_one_statement",
    "not_a_query",
    "unknown_table",
    "metadata_table",
    "time_travel",
    "table_function",
    "unknown_function",
    "hidden_column",
    "unsupported_syntax",
    "name_taken",
    "bad_limit",
]


class SqlError(Exception):
    """A SQL text that gives no result, for a reason its author can mend."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint


class SqlRefused(SqlError):
    """The guard did not let the text through."""

    def __init__(self, code: RefusalCode, message: str, hint: str = "") -> None:
        super().__init__(code, message, hint)


class SqlFailed(SqlError):
    """Trino could not run the query that the guard let through."""


# Errors that Trino finds by reading the text, before any row. Only their messages are passed on.
ANALYSIS_ERRORS = frozenset(
    {
        "AMBIGUOUS_NAME",
        "COLUMN_NOT_FOUND",
        "DUPLICATE_COLUMN_NAME",
        "DUPLICATE_NAMED_QUERY",
        "EXPRESSION_NOT_AGGREGATE",
        "EXPRESSION_NOT_IN_DISTINCT",
        "EXPRESSION_NOT_SCALAR",
        "FUNCTION_NOT_AGGREGATE",
        "FUNCTION_NOT_FOUND",
        "FUNCTION_NOT_WINDOW",
        "INVALID_COLUMN_REFERENCE",
        "INVALID_LITERAL",
        "INVALID_RECURSIVE_REFERENCE",
        "INVALID_WINDOW_FRAME",
        "MISMATCHED_COLUMN_ALIASES",
        "MISSING_COLUMN_NAME",
        "MISSING_GROUP_BY",
        "MISSING_OVER",
        "NESTED_AGGREGATION",
        "NESTED_RECURSIVE",
        "NESTED_WINDOW",
        "NOT_SUPPORTED",
        "SYNTAX_ERROR",
        "TABLE_NOT_FOUND",
        "TOO_MANY_ARGUMENTS",
        "TYPE_MISMATCH",
        "TYPE_NOT_FOUND",
        "UNSUPPORTED_SUBQUERY",
    }
)

# Errors that depend on the rows. Trino's words quote the value that failed; these do not.
DATA_ERRORS = {
    "INVALID_CAST_ARGUMENT": ("A value could not be converted by CAST.", "Use try_cast(), which gives NULL."),
    "DIVISION_BY_ZERO": ("Division by zero.", "Use a / nullif(b, 0)."),
    "NUMERIC_VALUE_OUT_OF_RANGE": ("A number is out of range.", "Cast to decimal(38, 10) or double first."),
    "INVALID_FUNCTION_ARGUMENT": ("A function got a value that it cannot take.", "Wrap it: try(f(x))."),
    "SUBQUERY_MULTIPLE_ROWS": ("A scalar subquery gave more than one row.", "Add LIMIT 1, or use IN."),
    "EXCEEDED_LOCAL_MEMORY_LIMIT": ("The query needs too much memory.", "Ask for fewer days or columns."),
    "EXCEEDED_GLOBAL_MEMORY_LIMIT": ("The query needs too much memory.", "Ask for fewer days or columns."),
    "EXCEEDED_TIME_LIMIT": ("The query took too long.", "Ask for fewer days (trace_date), or aggregate."),
    "EXCEEDED_CPU_LIMIT": ("The query took too much work.", "Ask for fewer days (trace_date), or aggregate."),
}
# The planner's own limit. Trino writes the body of WITH RECURSIVE ten times into itself, so a view in it, which has
# to find the newest revision of each row, becomes a hundred stages.
_USE_PATH = "spans.path: contains(path, '<span_id>') finds all descendants of a span, depth its level."
_TOO_MANY_STAGES = ("The query has too many stages.", f"Instead of WITH RECURSIVE over a table, use {_USE_PATH}")
TOO_DEEP = (
    "WITH RECURSIVE goes down seven levels at most.",
    f"Stop it before (WHERE … AND num_levels < 5), or use {_USE_PATH}",
)
DATA_ERRORS["QUERY_HAS_TOO_MANY_STAGES"] = _TOO_MANY_STAGES
OTHER_DATA_ERROR = ("The query failed while it read the rows.", "Simplify it, or wrap expressions in try().")
