"""GET /v1/retention, and what a tenant sets of how long its rows stay.

Upstream: clients; to set anything it takes the role admin.
Downstream: api/repositories/retention.py.
Guarantee: days out of bounds are a 422 that names the field, and nothing is written; upkeep deletes what is older at
its next turn, and what it has deleted does not come back by setting more days.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.access.roles import AdminDep
from api.repositories.scope import Scope
from api.schemas.retention import RetentionItem, RetentionList, RetentionRequest
from api.services import ScopeDep, Services, ServicesDep
from lakehouse.contracts.retention import RetainedTable

router = APIRouter(prefix="/v1/retention", tags=["retention"])

TableName = Annotated[RetainedTable, Path(description="The table, as in SQL.")]
CountQuery = Annotated[bool, Query(description="Also count the rows that are older; it costs a query over them.")]


@router.get("", summary="List how long rows stay")
async def list_retention(scope: ScopeDep, services: ServicesDep, count: CountQuery = False) -> RetentionList:
    """List for every table that grows old how many days its rows stay, and who has decided that."""
    rows = await services.retention.list_all(scope, with_counts=count)
    return RetentionList(tables=[RetentionItem(**row) for row in rows])


@router.put("/{table}", summary="Set how long the rows of a table stay")
async def set_retention(
    caller: AdminDep, services: ServicesDep, table: TableName, wanted: RetentionRequest
) -> RetentionItem:
    """Set the days of one table; the next turn of upkeep deletes what is older, for good."""
    await services.retention.set_days(caller.scope, table, wanted.days, actor=caller.actor)
    return await _one(caller.scope, services, table)


@router.delete("/{table}", summary="Take back what was set for a table")
async def remove_retention(caller: AdminDep, services: ServicesDep, table: TableName) -> RetentionItem:
    """Let the default hold again; answers with it, also when nothing was set."""
    await services.retention.remove_days(caller.scope, table, actor=caller.actor)
    return await _one(caller.scope, services, table)


async def _one(scope: Scope, services: Services, table: RetainedTable) -> RetentionItem:
    rows = await services.retention.list_all(scope)
    return next(RetentionItem(**row) for row in rows if row["table"] == table)
