"""Runs an admitted text as its tenant, or as the operator, and puts Trino's errors into our words.

Upstream: admit.py.
Downstream: api/repositories/sql.py and `clawtrace sql`.
Guarantee: errors that were found in the text pass with their message; errors that were found in the data do not,
because Trino quotes the value that failed.
"""

import re
from typing import Final

from trino.exceptions import TrinoQueryError

from api.sqlguard.errors import ANALYSIS_ERRORS, DATA_ERRORS, OTHER_DATA_ERROR, TOO_DEEP, SqlFailed
from api.sqlguard.manifest import view_columns

# What people write for other engines, by what Trino says of it.
_HINTS: Final = (
    (
        re.compile(r"timestamp.* varchar|varchar.* timestamp"),
        "Write an instant as TIMESTAMP '2026-11-23 08:00:00 UTC' and a day as DATE '2026-11-23'.",
    ),
    (re.compile(r"\bdate\b.* varchar|varchar.* date\b"), "Write a day as DATE '2026-11-23'."),
    (re.compile(r"must be an aggregate expression"), "Name it in GROUP BY, or take one value of it, such as max(…)."),
    (re.compile(r"Unexpected parameters"), "Convert its arguments with CAST(… AS …) or try_cast(… AS …)."),
)
_NAMES_HINT: Final = (
    "GROUP BY and WHERE do not know names that are given by AS (GROUP BY 1 is the first column); a text stands in "
    "'single quotes'."
)


def explain_failure(error: TrinoQueryError, tables: tuple[str, ...] = ()) -> SqlFailed:
    """Return what to tell the author of the text."""
    name = error.error_name or "UNKNOWN"
    code = name.lower()
    if name == "PERMISSION_DENIED":
        return SqlFailed(code, "You may not read that.", f"The tables are {', '.join(sorted(view_columns()))}.")
    if name == "NOT_SUPPORTED" and error.message.startswith("Recursion depth limit"):
        return SqlFailed(code, *TOO_DEEP)
    if name in ANALYSIS_ERRORS:
        return SqlFailed(code, _sentence(error.message), _hint(name, error.message, tables))
    message, hint = DATA_ERRORS.get(name, OTHER_DATA_ERROR)
    return SqlFailed(code, message, hint)


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _hint(name: str, message: str, tables: tuple[str, ...]) -> str:
    if name != "COLUMN_NOT_FOUND":
        return next((hint for said, hint in _HINTS if said.search(message)), "")
    columns = view_columns()
    return " ".join([*(f"The columns of {table} are {', '.join(columns[table])}." for table in tables), _NAMES_HINT])
