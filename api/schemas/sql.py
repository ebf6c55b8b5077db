"""What POST /v1/sql takes and answers.

Upstream: api/repositories/sql.py.
Downstream: OpenAPI, clients, later Tracy.
Guarantee: values are JSON as api/kit/values.py says; money and other decimals are text.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.kit.values import json_value
from api.repositories.engine import Rows
from api.schemas.common import Answer


class SqlQuestion(BaseModel):
    """One SELECT over the tables of this tenant."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(
        description="One SELECT in Trino's SQL. DESCRIBE <table> is answered with the columns, as a 422.",
        examples=["SELECT name, cost_usd FROM traces WHERE trace_date = current_date ORDER BY cost_usd DESC"],
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Most rows to return; never more than the server's own limit (CLAWTRACE_API_MAX_SQL_ROWS).",
    )


class SqlColumn(Answer):
    """One column of a result."""

    name: str = Field(description="Name, as written or made by Trino.")
    type: str = Field(description="Trino's type.")


class SqlAnswer(Answer):
    """A result."""

    columns: list[SqlColumn] = Field(description="Columns, in the order of the values in a row.")
    rows: list[list[Any]] = Field(description="Rows; decimals, instants and dates are text.")
    truncated: bool = Field(description="Whether there are more rows than are returned.")
    snapshots: dict[str, str] = Field(
        description="Newest snapshot of each table that was read, when the query began: the same query gives the same "
        "numbers until it changes.",
        examples=[{"silver.traces": "863923237004009821"}],
    )

    @classmethod
    def of(cls, rows: Rows, snapshots: dict[str, str]) -> "SqlAnswer":
        """Make it from a result."""
        return cls(
            columns=[SqlColumn(name=column.name, type=column.type) for column in rows.columns],
            rows=[[json_value(value) for value in row] for row in rows.rows],
            truncated=rows.truncated,
            snapshots=snapshots,
        )
