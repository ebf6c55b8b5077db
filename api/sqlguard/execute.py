"""Runs an admitted text as its tenant, or as the operator, and puts Trino's errors into our words.

Upstream: admit.py.
Downstream: api/repositories/sql.py and `clawtrace sql`.
Guarantee: errors that were found in the text pass with their message; errors that were found in the data do not,
because Trino quotes the value that failed.
"""

from trino.exceptions import TrinoQueryError

from api.sqlguard.errors import ANALYSIS_ERRORS, DATA_ERRORS, OTHER_DATA_ERROR, SqlFailed
from api.sqlguard.manifest import view_columns


def explain_failure(error: TrinoQueryError, tables: tuple[str, ...] = ()) -> SqlFailed:
    """Return what to tell the author of the text."""
    name = error.error_name or "UNKNOWN"
    code = name.lower()
    if name == "PERMISSION_DENIED":
        return SqlFailed(code, "You may not read that.", f"The tables are {', '.join(sorted(view_columns()))}.")
    if name in ANALYSIS_ERRORS:
        return SqlFailed(code, _sentence(error.message), _hint(name, tables))
    message, hint = DATA_ERRORS.get(name, OTHER_DATA_ERROR)
    return SqlFailed(code, message, hint)


def _sentence(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _hint(name: str, tables: tuple[str, ...]) -> str:
    if name != "COLUMN_NOT_FOUND":
        return ""
    columns = view_columns()
    return " ".join(f"The columns of {table} are {', '.join(columns[table])}." for table in tables)
