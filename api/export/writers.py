"""Traces as files, a page of spans at a time: JSON lines and OTLP JSON.

Upstream: api/routers/export.py, with rows of the view ``spans`` (all columns).
Downstream: people's own tools; any OpenTelemetry collector.
Guarantee: nothing is held but the page; what a writer gives out, joined, is one whole file. Money is decimal text,
instants are ISO 8601 (JSON lines) or nanoseconds since 1970 as text (OTLP).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from api.kit.instants import to_us
from api.kit.values import decimal_text, json_value

Row = Mapping[str, Any]

_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_SPAN_ID = re.compile(r"[0-9a-f]{16}")
# SPAN_KIND_INTERNAL and SPAN_KIND_CLIENT, STATUS_CODE_OK and STATUS_CODE_ERROR of the OTLP protobuf.
_INTERNAL, _CLIENT = 1, 3
_OK, _ERROR = 1, 2


class ExportWriter(Protocol):
    """Writes one trace."""

    media_type: str
    suffix: str

    def begin(self, trace: Row) -> bytes:
        """What comes before the spans."""
        ...

    def spans(self, rows: Sequence[Row]) -> bytes:
        """A page of spans."""
        ...

    def end(self) -> bytes:
        """What comes behind them."""
        ...


class NdjsonWriter:
    """One JSON document a line: the trace, then its spans, told apart by ``type``."""

    media_type = "application/x-ndjson"
    suffix = "ndjson"

    def begin(self, trace: Row) -> bytes:
        """Return the line of the trace."""
        return _line("trace", trace)

    def spans(self, rows: Sequence[Row]) -> bytes:
        """Return the lines of a page."""
        return b"".join(_line("span", row) for row in rows)

    def end(self) -> bytes:
        """Return nothing: the file ends with its last line."""
        return b""


def _line(kind: str, row: Row) -> bytes:
    values = {name: json_value(value) for name, value in row.items()}
    return json.dumps({"type": kind, **values}, ensure_ascii=False).encode() + b"\n"


class OtlpWriter:
    """An ExportTraceServiceRequest as OTLP JSON, with the attribute names of OTel's GenAI conventions."""

    media_type = "application/json"
    suffix = "otlp.json"

    def __init__(self) -> None:
        self._is_first = True

    def begin(self, trace: Row) -> bytes:
        """Return the document up to the first span."""
        resource = {
            "attributes": _attributes(
                {"service.name": "openclaw", "service.instance.id": trace["agent_id"], "clawtrace.name": trace["name"]}
            )
        }
        head = {"resource": resource, "scopeSpans": [{"scope": {"name": "clawtrace"}, "spans": []}]}
        # Everything up to where the spans go.
        return ('{"resourceSpans":[' + json.dumps(head, ensure_ascii=False).removesuffix("]}]}")).encode()

    def spans(self, rows: Sequence[Row]) -> bytes:
        """Return a page of spans, with commas between them."""
        parts = []
        for row in rows:
            parts.append(("" if self._is_first else ",") + json.dumps(otlp_span(row), ensure_ascii=False))
            self._is_first = False
        return "".join(parts).encode()

    def end(self) -> bytes:
        """Close what ``begin`` opened."""
        return b"]}]}]}"


def otlp_span(row: Row) -> dict[str, Any]:
    """One span. Ids that OTel cannot hold become the first digits of their hash; the own id is an attribute."""
    span: dict[str, Any] = {
        "traceId": _hex_id(row["trace_id"], _TRACE_ID, 16),
        "spanId": _hex_id(row["span_id"], _SPAN_ID, 8),
        "name": row["name"],
        "kind": _CLIENT if row["kind"] == "model_call" else _INTERNAL,
        "startTimeUnixNano": _nanoseconds(row["started_at"]),
        "endTimeUnixNano": _nanoseconds(row["ended_at"] or row["started_at"]),
        "attributes": _attributes(_otel_values(row)),
        "status": {"code": _ERROR, "message": row["error"] or ""} if row["status"] == "error" else _status(row),
    }
    if row["parent_span_id"]:
        span["parentSpanId"] = _hex_id(row["parent_span_id"], _SPAN_ID, 8)
    return span


def _status(row: Row) -> dict[str, Any]:
    return {"code": _OK} if row["status"] == "ok" else {}


def _otel_values(row: Row) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": row["operation_name"],
        "gen_ai.provider.name": row["provider"],
        "gen_ai.request.model": row["model"],
        "gen_ai.agent.name": row["openclaw_agent_id"],
        "gen_ai.conversation.id": row["session_key"],
        "gen_ai.tool.name": row["tool_name"],
        "gen_ai.tool.call.id": row["tool_call_id"],
        # OTel counts everything that was sent as input; our buckets do not overlap.
        "gen_ai.usage.input_tokens": _sum(row, "input_tokens", "cache_read_tokens", "cache_write_tokens"),
        "gen_ai.usage.output_tokens": row["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": row["cache_read_tokens"],
        "gen_ai.usage.cache_creation.input_tokens": row["cache_write_tokens"],
        "gen_ai.input.messages" if row["kind"] == "model_call" else "clawtrace.input": row["input"],
        "gen_ai.output.messages" if row["kind"] == "model_call" else "clawtrace.output": row["output"],
        "clawtrace.kind": row["kind"],
        "clawtrace.status": row["status"],
        "clawtrace.trace_id": row["trace_id"],
        "clawtrace.span_id": row["span_id"],
        "clawtrace.run_id": row["run_id"],
        "clawtrace.cost_usd": None if row["cost_usd"] is None else decimal_text(row["cost_usd"]),
        "clawtrace.flags": list(row["flags"] or []) or None,
    }


def _sum(row: Row, *names: str) -> int | None:
    counts = [row[name] for name in names if row[name] is not None]
    return sum(counts) if counts else None


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in values.items() if value is not None]


def _any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case list():
            return {"arrayValue": {"values": [_any_value(item) for item in value]}}
        case Decimal():
            return {"stringValue": decimal_text(value)}
    return {"stringValue": str(value)}


def _nanoseconds(at: datetime) -> str:
    return str(to_us(at) * 1000)


def _hex_id(text: str, form: re.Pattern[str], num_bytes: int) -> str:
    if form.fullmatch(text) and text.strip("0"):
        return text
    return hashlib.blake2b(text.encode(), digest_size=num_bytes).hexdigest()
