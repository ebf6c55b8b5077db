"""GET /v1/traces/{trace_id}/export: a trace as a file.

Upstream: clients with a read key.
Downstream: api/repositories/spans.py page by page, api/export writes them.
Guarantee: no more than a page of spans is held; what can be refused is refused before the first byte. An export that
fails half way is cut off without its proper end, so that no client takes it for whole.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from api.export.writers import ExportWriter, NdjsonWriter, OtlpWriter
from api.repositories.engine import Rows
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from api.repositories.traces import place_of
from api.routers.trace_ref import TraceRefDep, find_row
from api.schemas.trace_views import ExportFormat
from api.services import ScopeDep, Services, ServicesDep, while_connected
from infra.runtime.problem import problem_responses, too_large

router = APIRouter(prefix="/v1/traces/{trace_id}", tags=["traces"])

_PAGE_SPANS = 2_000
_PAGE_BYTES = 64 * 1024 * 1024
_FILES: dict[str, Any] = {
    media_type: {"schema": {"type": "string", "format": "binary"}}
    for media_type in ("application/x-ndjson", "application/vnd.apache.parquet", "application/json")
}


@router.get(
    "/export",
    summary="Download a trace as a file",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The file.", "content": _FILES},
        **problem_responses(404, 413),
    },
)
async def export_trace(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    trace: TraceRefDep,
    format: Annotated[ExportFormat, Query(description="ndjson, parquet or otlp (OpenTelemetry's JSON).")] = "ndjson",
) -> StreamingResponse:
    """Download a trace with all its spans and their payloads."""
    row = await find_row(scope, services, trace)
    place = place_of(row)
    writer = await asyncio.to_thread(_writer, format)
    # Read before the answer begins: errors still have a status then.
    first = await while_connected(request, _page(scope, services, place, None))
    name = re.sub(r"[^A-Za-z0-9._-]", "_", place.trace_id)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{writer.suffix}"',
        "Cache-Control": "private, no-store",
    }
    chunks = _chunks(scope, services, place, writer, row, first)
    return StreamingResponse(chunks, media_type=writer.media_type, headers=headers)


def _writer(name: str) -> ExportWriter:
    match name:
        case "ndjson":
            return NdjsonWriter()
        case "otlp":
            return OtlpWriter()
    # Imported when it is asked for: it is by far the largest library of the API.
    from api.export.parquet import ParquetWriter

    return ParquetWriter()


async def _page(scope: Scope, services: Services, place: TracePlace, after: tuple[Any, str] | None) -> Rows:
    rows = await services.spans.page_with_payloads(scope, place, after=after, limit=_PAGE_SPANS, max_bytes=_PAGE_BYTES)
    if rows.truncated and not rows.rows:
        raise too_large("one span of this trace is too large to export; read its payloads in stretches")
    return rows


async def _chunks(
    scope: Scope, services: Services, place: TracePlace, writer: ExportWriter, trace: dict[str, Any], first: Rows
) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(writer.begin, trace)
    rows = first
    while True:
        spans = rows.as_dicts()
        yield await asyncio.to_thread(writer.spans, spans)
        if not rows.truncated:
            break
        rows = await _page(scope, services, place, (spans[-1]["started_at"], spans[-1]["span_id"]))
    yield await asyncio.to_thread(writer.end)
