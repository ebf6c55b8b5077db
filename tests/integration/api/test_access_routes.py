"""Every route of the OpenAPI document: the role it states is the role it needs, and nobody else's things are there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import Client, Tenant, new_tenant_id

DOCUMENT = json.loads((Path(__file__).resolve().parents[3] / "api/schemas/openapi.json").read_text())
ROLES = ("viewer", "operator", "admin")
SCOPE_OF = {"viewer": "read", "operator": "operate", "admin": "admin"}
# Routes that need no role: probes, signing in, and those for agents, whose key has no role.
WITHOUT_ROLE = {
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("post", "/v1/session"),
    ("get", "/v1/session/methods"),
    ("post", "/v1/evolve/ask"),
    ("post", "/v1/evolve/skill"),
}
ROUTES = sorted(
    (method, path, operation.get("x-clawtrace-role", ""))
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
)
WITH_ROLE = [route for route in ROUTES if route[2]]
NAMES = [f"{method} {path}" for method, path, _ in WITH_ROLE]
# What changes something is never for viewers, except asking, and what is one's own.
VIEWERS_MAY = {
    ("post", "/v1/sql"),
    ("post", "/v1/tracy/chat"),
    ("post", "/v1/skills/distill"),
    ("delete", "/v1/tracy/sessions/{session_id}"),
    ("delete", "/v1/session"),
}


def filled(path: str) -> str:
    """The path with names that nobody has."""
    return re.sub(r"\{\w+\}", "nobody", path)


def send(api: httpx2.Client, method: str, path: str, key: str | None, body: Any = None) -> httpx2.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with api.stream(method.upper(), filled(path), headers=headers, json=body) as response:
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return response
        response.read()
        return response


@pytest.fixture(scope="module")
def keys(read_key: Callable[[str, str], str], stack: StackSettings, written_rules: None) -> dict[str, str]:
    tenant_id = new_tenant_id()
    return {name: read_key(tenant_id, scope) for name, scope in {**SCOPE_OF, "ingest": "ingest"}.items()}


def test_every_route_states_its_role() -> None:
    assert {(method, path) for method, path, role in ROUTES if not role} == WITHOUT_ROLE
    assert {role for _, _, role in WITH_ROLE} <= set(ROLES)


def test_viewers_change_nothing() -> None:
    changing = {(method, path) for method, path, role in WITH_ROLE if method != "get" and role == "viewer"}
    assert changing <= VIEWERS_MAY


@pytest.mark.parametrize(("method", "path", "role"), WITH_ROLE, ids=NAMES)
def test_lower_roles_are_refused(api: httpx2.Client, keys: dict[str, str], method: str, path: str, role: str) -> None:
    """Before anything else is looked at: an empty body would otherwise be a 422."""
    assert send(api, method, path, None).status_code == 401
    assert send(api, method, path, "ct_read_broken").status_code == 401
    assert send(api, method, path, keys["ingest"]).status_code == 403
    for lower in ROLES[: ROLES.index(role)]:
        assert send(api, method, path, keys[lower]).status_code == 403, lower
    # With nonsense for a body nothing is changed; what matters is that it is not the role that is refused.
    if (method, path) != ("delete", "/v1/session"):
        assert send(api, method, path, keys[role], body=[]).status_code not in (401, 403)


FOREIGN = [
    "/v1/traces/{trace_id}",
    "/v1/traces/{trace_id}/skeleton",
    "/v1/traces/{trace_id}/timeline",
    "/v1/traces/{trace_id}/graph",
    "/v1/traces/{trace_id}/card",
    "/v1/traces/{trace_id}/scores",
    "/v1/traces/{trace_id}/export",
    "/v1/traces/{trace_id}/spans/{span_id}",
    "/v1/traces/{trace_id}/diff/{trace_id}",
]


@pytest.mark.parametrize("path", FOREIGN)
def test_what_belongs_to_others_is_not_there(
    small: Client, large: Client, tenants: tuple[Tenant, Tenant], path: str
) -> None:
    other = tenants[1]
    names = {"trace_id": other.trace_id(1), "span_id": f"{other.canary}-span_id-1"}
    asked = path.format(**names)
    assert large.get(asked).status_code == 200
    foreign, absent = small.get(asked), small.get(path.format(trace_id="nobody", span_id="nobody"))
    assert foreign.status_code == absent.status_code == 404
    assert foreign.text.replace(names["trace_id"], "nobody").replace(names["span_id"], "nobody") == absent.text
