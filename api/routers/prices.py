"""GET /v1/prices, and the prices that a tenant writes down.

Upstream: clients; to try a price it takes the role operator, to write one the role admin.
Downstream: api/repositories/prices.py.
Guarantee: a tenant writes prices for itself only; what cannot be is a 422 that names the field. Calls of the past
keep their cost until somebody has them priced again (api/routers/reprices.py).
"""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.access.roles import AdminDep, OperatorDep
from api.repositories.prices import InvalidPrice, NoPrice
from api.routers.window import NO_CONTROLS, in_utc
from api.schemas.prices import (
    PriceCheck,
    PriceDetail,
    PriceItem,
    PriceList,
    PriceOverrideFields,
    PriceOverrideItem,
    PriceOverrideList,
    PriceTierFields,
)
from api.services import ScopeDep, ServicesDep
from infra.runtime.problem import FieldError, Problem, invalid, not_found, problem_responses
from producers.contracts.pricing.overrides import PriceOverride, PriceTier

router = APIRouter(prefix="/v1/prices", tags=["prices"])

_RATES = [name for name in PriceOverrideFields.model_fields if name.endswith("_usd_per_mtok")]
_ONE = problem_responses(404)
ProviderQuery = Annotated[
    str, Query(min_length=1, max_length=128, pattern=NO_CONTROLS, description="OpenClaw's name of the provider.")
]
ModelQuery = Annotated[
    str, Query(min_length=1, max_length=256, pattern=NO_CONTROLS, description="OpenClaw's name of the model.")
]


@router.get("", summary="List prices")
async def list_prices(
    scope: ScopeDep,
    services: ServicesDep,
    provider: Annotated[str, Query(max_length=128, description="Only this provider.")] = "",
    model: Annotated[str, Query(max_length=256, description="Only models with this text in their name.")] = "",
    day: Annotated[date | None, Query(description="Prices of this day (UTC); without it today's.")] = None,
    overrides: Annotated[bool, Query(description="Only prices that somebody of this install wrote down.")] = False,
    limit: Annotated[int, Query(ge=1, le=5_000, description="Prices at most.")] = 500,
) -> PriceList:
    """List what models cost the tenant, in dollars per million tokens: its own prices before the published ones."""
    wanted_day = day or datetime.now(UTC).date()
    items = await services.prices.list_all(scope, provider, model, wanted_day, only_overrides=overrides)
    return PriceList(items=[PriceItem(**it) for it in items[:limit]], num_found=len(items))


@router.get("/lookup", summary="Read what one model costs", responses=_ONE)
async def find_price(
    scope: ScopeDep,
    services: ServicesDep,
    provider: ProviderQuery,
    model: ModelQuery,
    at: Annotated[datetime | None, Query(description="Instant (ISO 8601, UTC); without it now.")] = None,
) -> PriceDetail:
    """Read the price that holds for the tenant at an instant, with its tiers, and which list says so."""
    try:
        return PriceDetail(**await services.prices.find(scope, provider, model, in_utc(at, "at") or datetime.now(UTC)))
    except NoPrice as error:
        raise not_found(str(error)) from None


@router.get("/overrides", summary="List the prices that were written down")
async def list_overrides(scope: ScopeDep, services: ServicesDep) -> PriceOverrideList:
    """List the tenant's own prices, and those of the install for all tenants."""
    return PriceOverrideList(items=[_override(it) for it in await services.prices.list_overrides(scope)])


@router.put("/overrides", summary="Write a price down")
async def set_override(caller: AdminDep, services: ServicesDep, wanted: PriceOverrideFields) -> PriceOverrideItem:
    """Write a price down for the tenant, in place of its own one for the same model and first day, tiers and all.

    Gateway and stitcher read it within seconds.
    """
    try:
        return _override(await services.prices.set_override(caller.scope, wanted.model_dump(), actor=caller.actor))
    except InvalidPrice as error:
        raise _invalid(error) from None


@router.delete("/overrides", status_code=204, response_class=Response, summary="Take a price back", responses=_ONE)
async def remove_override(
    caller: AdminDep,
    services: ServicesDep,
    provider: ProviderQuery,
    model: ModelQuery,
    effective_from: Annotated[date | None, Query(description="Its first day; without it the one of always.")] = None,
) -> Response:
    """Take one of the tenant's own prices back; calls of the past keep their cost."""
    found = await services.prices.remove_override(caller.scope, provider, model, effective_from, actor=caller.actor)
    if not found:
        raise not_found(f"the tenant has no price of its own for {provider}/{model} from {effective_from or 'always'}")
    return Response(status_code=204)


@router.post("/overrides/check", summary="Try a price without writing it")
async def check_override(caller: OperatorDep, services: ServicesDep, wanted: PriceOverrideFields) -> PriceCheck:
    """Say whether a price can be written, and what the model costs before and after; nothing is written."""
    try:
        is_new, before, after = await services.prices.check(caller.scope, wanted.model_dump())
    except InvalidPrice as error:
        raise _invalid(error) from None
    return PriceCheck(is_new=is_new, before=before and PriceDetail(**before), after=after and PriceDetail(**after))


def _override(row: PriceOverride) -> PriceOverrideItem:
    names = ("provider", "model", "effective_from", "effective_until", "source")
    tiers = [PriceTierFields(above_prompt_tokens=it.above_prompt_tokens, **_rates(it)) for it in row.tiers]
    rest = {name: getattr(row, name) for name in names}
    return PriceOverrideItem(**rest, **_rates(row), is_own=row.tenant_id is not None, tiers=tiers)


def _rates(row: PriceOverride | PriceTier) -> dict[str, Any]:
    return {name: None if (usd := getattr(row, name)) is None else f"{usd:f}" for name in _RATES}


def _invalid(error: InvalidPrice) -> Problem:
    field = f"body.{error.field}" if error.field else "body"
    return invalid(f"{field}: {error}", FieldError(field, str(error)))
