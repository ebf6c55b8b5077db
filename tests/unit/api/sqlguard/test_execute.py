"""Trino's errors in our words: the text's mistakes are told, the data's values are not."""

import pytest
from trino.exceptions import TrinoUserError

from api.sqlguard.execute import explain_failure


def _error(name: str, message: str) -> TrinoUserError:
    return TrinoUserError({"errorName": name, "message": message, "errorType": "USER_ERROR"}, "q")


def test_a_missing_column_lists_the_columns() -> None:
    failed = explain_failure(_error("COLUMN_NOT_FOUND", "line 1:8: Column 'nam' cannot be resolved"), ("traces",))
    assert failed.message == "line 1:8: Column 'nam' cannot be resolved."
    assert "num_tool_calls" in failed.hint


@pytest.mark.parametrize(
    "name", ["INVALID_CAST_ARGUMENT", "INVALID_FUNCTION_ARGUMENT", "GENERIC_USER_ERROR", "NEW_ERROR"]
)
def test_a_value_in_the_message_is_never_passed_on(name: str) -> None:
    failed = explain_failure(_error(name, "Cannot cast 'secret value' to INT"), ("spans",))
    assert "secret" not in str(failed)
    assert failed.hint


def test_a_denial_names_the_tables_and_not_the_engine() -> None:
    failed = explain_failure(_error("PERMISSION_DENIED", "Access Denied: Cannot select from iceberg.silver.spans"))
    assert "silver" not in str(failed)
    assert "traces" in failed.hint


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("TYPE_MISMATCH", "line 1:1: Cannot apply operator: timestamp(6) with time zone < varchar(10)", "TIMESTAMP '"),
        ("TYPE_MISMATCH", "line 1:1: Cannot apply operator: date = varchar(10)", "DATE '"),
        ("EXPRESSION_NOT_AGGREGATE", "line 1:8: 'name' must be an aggregate expression or appear in", "GROUP BY"),
        ("FUNCTION_NOT_FOUND", "line 1:8: Unexpected parameters (varchar) for function sum.", "try_cast"),
        ("COLUMN_NOT_FOUND", "line 1:8: Column 'd' cannot be resolved", "GROUP BY 1"),
        ("NOT_SUPPORTED", "Recursion depth limit exceeded (7). Use 'max_recursion_depth' session'", "contains(path"),
    ],
)
def test_what_is_right_elsewhere_is_told_as_it_is_here(name: str, said: str, hint: str) -> None:
    failed = explain_failure(_error(name, said), ("traces",))
    assert hint in failed.hint
    assert "session'" not in failed.message
