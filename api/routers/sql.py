"""POST /v1/sql.

Upstream: clients with a read key.
Downstream: api/sqlguard, then api/repositories/sql.py.
Guarantee: what runs is what the guard wrote; a refusal is a 422 that names the fix.
"""

import asyncio

from fastapi import APIRouter, Request

from api.metrics import SQL_REFUSED
from api.repositories.scope import Scope
from api.schemas.sql import SqlAnswer, SqlQuestion
from api.services import ScopeDep, Services, ServicesDep, while_connected
from api.sqlguard.admit import admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns
from infra.runtime.problem import problem_responses

router = APIRouter(prefix="/v1/sql", tags=["sql"])


@router.post("", summary="Ask in SQL", responses=problem_responses(401, 403, 422, 429, 503))
async def run_sql(request: Request, scope: ScopeDep, services: ServicesDep, question: SqlQuestion) -> SqlAnswer:
    """Run one SELECT in Trino's SQL over agents, alerts, cards, edges, events, spans, tenants and traces.

    Only rows of the key's tenant are visible. A text that cannot run gives a 422 whose `code` and `hint` say why and
    what to write instead.
    """
    return await while_connected(request, _run(scope, services, question.sql))


async def _run(scope: Scope, services: Services, sql: str) -> SqlAnswer:
    try:
        # In a thread: parsing a long text takes a good part of a second, which other requests must not wait for.
        admitted = await asyncio.to_thread(admit_sql, sql, view_columns(), services.settings.api_max_sql_rows)
    except SqlRefused as refusal:
        SQL_REFUSED.labels(refusal.code).inc()
        raise
    # Before the query: a commit in between makes the rows newer than the snapshot says, never older.
    snapshots = await services.sql.find_snapshots(scope, admitted.tables)
    return SqlAnswer.of(await services.sql.run(scope, admitted), snapshots)
