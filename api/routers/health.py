"""/healthz, /readyz and /metrics.

Upstream: the supervisor, Prometheus.
Downstream: nothing; readiness asks Trino and Postgres.
Guarantee: the same paths and bodies as the other processes (infra/runtime/metrics.py).
"""

import asyncio
from typing import Any

import requests
from fastapi import APIRouter, Response

from api.schemas.health import Health, Readiness
from api.services import Services, ServicesDep
from infra.runtime.database import missing_from_database
from infra.runtime.metrics import note_dependency, readiness_body, render_metrics
from infra.runtime.settings import StackSettings

router = APIRouter(tags=["health"])

_TRINO_TIMEOUT_S = 1.0


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Health:
    """Answer while the process lives."""
    return Health(ok=True)


@router.get("/readyz", summary="Whether requests can be answered", responses={503: {"model": Readiness}})
async def readyz(response: Response, services: ServicesDep) -> Readiness:
    """Answer 200 when Trino and Postgres answer, else 503 with what is missing."""
    body: dict[str, Any] = readiness_body(await _missing(services))
    response.status_code = 200 if body["ready"] else 503
    return Readiness(**body)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response, include_in_schema=False)
async def metrics(services: ServicesDep) -> Response:
    """Return all metrics of the process as text."""
    body, content_type = render_metrics(await _missing(services))
    return Response(body, media_type=content_type)


async def _missing(services: Services) -> list[str]:
    missing = await asyncio.gather(
        asyncio.to_thread(_missing_from_trino, services.settings),
        asyncio.to_thread(missing_from_database, services.database),
    )
    return [reason for part in missing for reason in part]


def _missing_from_trino(settings: StackSettings) -> list[str]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(settings.trino_ca_file)
        try:
            answer = session.get(f"{settings.trino_url}/v1/info", timeout=_TRINO_TIMEOUT_S)
            starting = answer.json().get("starting", True) if answer.ok else True
        except (requests.RequestException, OSError, ValueError) as error:
            note_dependency("trino", is_up=False)
            return [f"Trino does not answer: {type(error).__name__}"]
    note_dependency("trino", is_up=not starting)
    return ["Trino is still starting"] if starting else []
