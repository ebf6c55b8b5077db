"""POST /v1/sql.

Upstream: clients with a read key.
Downstream: api/sqlguard, then api/repositories/sql.py; api/export/results.py writes the answer.
Guarantee: what runs is what the guard wrote; a refusal is a 422 that names the fix.
"""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.export.results import MEDIA_TYPES, ResultFormat, write_result
from api.metrics import SQL_REFUSED
from api.repositories.scope import Scope
from api.schemas.sql import SqlAnswer, SqlQuestion
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.sqlguard.admit import admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns

router = APIRouter(prefix="/v1/sql", tags=["sql"])


_FILES: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}


@router.post(
    "",
    summary="Ask in SQL",
    response_model=SqlAnswer,
    responses={
        200: {"description": "The result, in the format that was asked for.", "content": _FILES},
    },
)
async def run_sql(
    request: Request,
    scope: ScopeDep,
    services: ServicesDep,
    question: SqlQuestion,
    format: Annotated[ResultFormat, Query(description="json, csv or parquet.")] = "json",
) -> Response:
    """Run one SELECT in Trino's SQL over agents, alerts, cards, edges, events, spans, tenants, traces and verdicts.

    Only rows of the key's tenant are visible. A text that cannot run gives a 422 whose `code` and `hint` say why and
    what to write instead. Files (`format`) say in the headers `x-clawtrace-truncated` and `x-clawtrace-snapshots` what
    the JSON document says in its fields.
    """
    return await while_connected(request, _run(scope, services, question, format))


async def _run(scope: Scope, services: Services, question: SqlQuestion, form: ResultFormat) -> Response:
    most = services.settings.api_max_sql_rows
    max_rows = min(question.limit or most, most)
    try:
        # In a thread: parsing a long text takes a good part of a second, which other requests must not wait for.
        admitted = await asyncio.to_thread(admit_sql, question.sql, view_columns(), max_rows)
    except SqlRefused as refusal:
        SQL_REFUSED.labels(refusal.code).inc()
        raise
    # Before the query: a commit in between makes the rows newer than the snapshot says, never older.
    snapshots = await services.sql.find_snapshots(scope, admitted.tables)
    rows = await services.sql.run(scope, admitted)
    headers = {
        "x-clawtrace-truncated": str(rows.truncated).lower(),
        "x-clawtrace-snapshots": json.dumps(snapshots),
        "cache-control": "private, no-store",
    }
    if form != "json":
        headers["content-disposition"] = f'attachment; filename="result.{form}"'
    content = await asyncio.to_thread(write_result, rows, snapshots, form)
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)
