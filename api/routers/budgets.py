"""GET /v1/budgets, and what a tenant sets of its budgets.

Upstream: clients; to set anything it takes the role admin.
Downstream: api/repositories/budgets.py.
Guarantee: nobody sees or changes another tenant's; a budget that is changed keeps what was spent; the keeper acts on a
change within a second.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.access.roles import AdminDep
from api.routers.window import NO_CONTROLS
from api.schemas.budgets import BudgetItem, BudgetList, BudgetRequest
from api.services import ScopeDep, ServicesDep
from infra.runtime.problem import FieldError, invalid, not_found, problem_responses
from stream_jobs.contracts.budget import InvalidBudget

router = APIRouter(prefix="/v1/budgets", tags=["budgets"])

_ONE = problem_responses(404)
BudgetId = Annotated[str, Path(min_length=1, max_length=64, pattern=NO_CONTROLS, description="The budget.")]


@router.get("", summary="List budgets as they stand")
async def list_budgets(scope: ScopeDep, services: ServicesDep) -> BudgetList:
    """List the tenant's budgets with what is spent, what is left, and when the window ends."""
    return BudgetList(items=[BudgetItem(**it) for it in await services.budgets.list_all(scope)])


@router.put("", summary="Make a budget, or change one")
async def set_budget(caller: AdminDep, services: ServicesDep, wanted: BudgetRequest) -> BudgetItem:
    """Make a budget; if there is one of this scope, window and unit, change what is named of it.

    A new budget begins with what its window has already seen, but for one about sessions, which begins at nothing.
    """
    try:
        values = {name: getattr(wanted, name) for name in BudgetRequest.model_fields}
        return BudgetItem(**await services.budgets.put(caller.scope, **values, actor=caller.actor))
    except InvalidBudget as error:
        field = f"body.{error.field}" if error.field else "body"
        raise invalid(f"{field}: {error}", FieldError(field, str(error))) from None


@router.delete("/{budget_id}", status_code=204, response_class=Response, summary="Remove a budget", responses=_ONE)
async def remove_budget(caller: AdminDep, services: ServicesDep, budget_id: BudgetId) -> Response:
    """Remove a budget; whoever it stopped may go on within a second."""
    if not await services.budgets.remove(caller.scope, budget_id, actor=caller.actor):
        raise not_found(f"there is no budget {budget_id}")
    return Response(status_code=204)
