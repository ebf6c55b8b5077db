"""Values of the topics as rows of the tables, so that one answer is made of both.

Upstream: structs of stream_jobs.contracts; the columns of lakehouse.contracts.tables.
Downstream: api/live/merge.py, api/schemas/live.py.
Guarantee: pure. A row has every column that people see, under the table's name and of the type that Trino gives.
"""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from api.kit.instants import from_us
from api.views.columns import scaled
from lakehouse.contracts.columns import MONEY, MONEY_SCALE, ColumnSpec
from lakehouse.contracts.tables import ALERTS, SPANS, TRACES, TableSpec
from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.span import Span
from stream_jobs.contracts.trace import Trace

_MONEY_UNIT = Decimal(1).scaleb(-MONEY_SCALE)
_TABLES: dict[type[msgspec.Struct], TableSpec] = {Span: SPANS, Trace: TRACES, Alert: ALERTS}


def row_of(value: Span | Trace | Alert) -> dict[str, Any]:
    """Return the row that the table will hold."""
    columns = _TABLES[type(value)].visible_columns
    return {column.name: _cell(column, getattr(value, column.field)) for column in columns}


def compact_row(span: Span) -> tuple[Any, ...]:
    """Return the row of a span with its values in the order of the fields of SpanColumns."""
    return (
        span.span_id,
        span.parent_span_id,
        span.kind,
        span.name,
        span.status,
        span.started_at_us,
        span.ended_at_us,
        span.openclaw_agent_id,
        span.provider,
        span.model,
        span.tool_name,
        span.input_tokens,
        span.cache_read_tokens,
        span.cache_write_tokens,
        span.output_tokens,
        None if span.cost_usd is None else scaled(span.cost_usd),
        " ".join(span.flags) or None,
    )


def _cell(column: ColumnSpec, value: Any) -> Any:
    if value is None:
        return None
    match column.encoding:
        case "microseconds":
            return from_us(value)
        case "iso_date":
            return date.fromisoformat(value)
    if column.type == MONEY:
        # What OpenClaw reports may have more decimals than any column holds.
        return value.quantize(_MONEY_UNIT)
    return value
