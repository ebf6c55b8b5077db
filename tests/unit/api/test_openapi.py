"""The committed OpenAPI document is the app's own.

After a wanted change: ``CLAWTRACE_UPDATE_OPENAPI=1 python -m pytest tests/unit/api/test_openapi.py``.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.main import create_app
from api.settings import ApiSettings

COMMITTED = Path(__file__).resolve().parents[3] / "api" / "schemas" / "openapi.json"
UPDATE = "CLAWTRACE_UPDATE_OPENAPI"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(ApiSettings()).openapi()


def test_the_committed_document_is_the_apps(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if os.environ.get(UPDATE):
        COMMITTED.write_text(text)
    assert COMMITTED.read_text() == text, f"the API changed; look at the difference, then set {UPDATE}=1 once"


def test_every_answer_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            assert good, f"{method} {path}"
            for answer in good:
                # A 204 has no content; everything else says what it is.
                assert answer.get("content") or "204" in operation["responses"], f"{method} {path}"
                assert all(content.get("schema") for content in answer.get("content", {}).values()), f"{method} {path}"
            if path.startswith("/v1/"):
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), f"{method} {path}"
                assert operation["security"], f"{method} {path}"


def test_the_promised_paths_are_there(document: dict[str, Any]) -> None:
    assert set(document["paths"]) >= {
        "/v1/traces",
        "/v1/traces/{trace_id}",
        "/v1/traces/{trace_id}/skeleton",
        "/v1/traces/{trace_id}/timeline",
        "/v1/traces/{trace_id}/graph",
        "/v1/traces/{trace_id}/card",
        "/v1/traces/{trace_id}/diff/{other_id}",
        "/v1/traces/{trace_id}/export",
        "/v1/traces/{trace_id}/spans/{span_id}",
        "/v1/alerts",
        "/v1/sql",
        "/v1/tracy/chat",
        "/v1/tracy/sessions",
        "/v1/tracy/sessions/{session_id}",
        "/v1/evolve/ask",
        "/healthz",
        "/readyz",
    }


def test_fields_are_described(document: dict[str, Any]) -> None:
    silent = {"ValidationError", "HTTPValidationError", "Problem"}
    for name, schema in document["components"]["schemas"].items():
        for field, body in schema.get("properties", {}).items():
            assert name in silent or "description" in body or "$ref" in body, f"{name}.{field}"
