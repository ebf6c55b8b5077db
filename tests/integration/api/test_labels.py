"""Labels of traces and versions of configurations over real Trino: filter, list, read, compare, and the commands."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from api.console.configs import configs_app
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import Client, change_silver, insert_rows, new_tenant_id

AGENT = "office mac"
OLD, NEW, UNTOLD = "0a" * 6, "1b" * 6, "2c" * 6
# The commands look back from now.
AT = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
WINDOW = {"from": (AT - timedelta(hours=1)).isoformat(), "to": (AT + timedelta(hours=1)).isoformat()}
LABELS: list[dict[str, str]] = [
    {"config": OLD, "model": "ollama/llama3:8b", "skill": "aa" * 6, "skill:deploy": "dd" * 6},
    {"config": OLD, "model": "ollama/llama3:8b", "skill": "aa" * 6, "team": "a:b"},
    {"config": NEW, "model": "ollama/llama3:8b", "skill": "bb" * 6, "skill:deploy": "ee" * 6},
    # Of an older plugin.
    {},
]


def _trace(tenant_id: str, number: int) -> dict[str, Any]:
    at = AT + timedelta(minutes=number)
    return {
        "tenant_id": tenant_id, "agent_id": AGENT, "trace_id": f"trace-{number}", "trace_date": at.date(),
        "name": "Task", "category": "work", "status": "error" if number == 1 else "ok", "openclaw_agent_id": "main",
        "started_at": at, "ended_at": at, "duration_ms": 0, "num_tool_calls": 3, "cost_usd": Decimal("0.25"),
        "is_open": False, "labels": LABELS[number],
    }  # fmt: skip


def _event(tenant_id: str, number: int, hook: str, event: dict[str, Any]) -> dict[str, Any]:
    at = AT + timedelta(minutes=number)
    return {
        "tenant_id": tenant_id, "agent_id": AGENT, "event_id": f"event-{number}", "hook": hook, "at": at,
        "received_at": at, "event_date": at.date(), "payload": json.dumps({"event": event, "ctx": {}}),
    }  # fmt: skip


def _config(version: str, text: str) -> dict[str, Any]:
    skill = {"name": "deploy", "version": text.lower()[:1] * 12, "chars": len(text), "text": text, "of_the_future": 1}
    return {
        "hash": version, "openclaw_agent_id": "main", "openclaw_version": "2026.9.6", "reason": "start",
        "model": {"primary": "ollama/llama3:8b", "fallbacks": ["fake/sim-2"]}, "settings": {"thinkingDefault": "low"},
        "tools": {}, "plugins": ["clawtrace"], "guard": {"enabled": True}, "skill": "aa" * 6, "skills": [skill],
        "files": [],
    }  # fmt: skip


def _artifact(text: str) -> dict[str, Any]:
    return {"name": "deploy", "revision": {"contentSha256": hashlib.sha256(text.encode()).hexdigest()}}


@dataclass(frozen=True)
class Place:
    """One tenant with four traces and three configurations, one of which was never told."""

    client: Client

    def get(self, path: str = "", **parameters: Any) -> httpx2.Response:
        return self.client.get(f"/v1/agents/{AGENT}/configs{path}", **{**WINDOW, **parameters})

    def run(self, *arguments: str) -> Result:
        options = ["--url", str(self.client.http.base_url), "--key", self.client.key]
        return CliRunner().invoke(configs_app, [*arguments, *options])


@pytest.fixture(scope="module")
def place(
    stack: StackSettings, written_rules: None, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> Iterator[Place]:
    tenant_id = new_tenant_id()
    insert_rows(stack, "traces", [_trace(tenant_id, number) for number in range(len(LABELS))])
    change = {
        "action": "updated", "source": "clawtrace", "before": _artifact("Deploy."), "after": _artifact("Once."),
        "why": "deploy ran five times",
    }  # fmt: skip
    events = [
        _event(tenant_id, 0, "agent_config", _config(OLD, "Deploy.\n")),
        _event(tenant_id, 1, "skill_changed", change),
        _event(tenant_id, 2, "agent_config", _config(NEW, "Once.\n")),
        _event(tenant_id, 3, "agent_config", _config(NEW, "Once.\n")),
        _event(tenant_id, 4, "llm_input", {"prompt": "not a configuration"}),
    ]
    insert_rows(stack, "events", events)
    yield Place(Client(api, read_key(tenant_id, "read")))
    for table in ("traces", "events"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


@pytest.mark.parametrize(
    ("label", "numbers"),
    [
        (f"skill:{'aa' * 6}", [1, 0]),
        (f"skill:deploy:{'ee' * 6}", [2]),
        ("model:ollama/llama3:8b", [2, 1, 0]),
        ("team:a:b", [1]),
        (f"skill:{'ff' * 6}", []),
        ("a'b", []),
    ],
)
def test_traces_are_found_by_a_label(place: Place, label: str, numbers: list[int]) -> None:
    page = place.client.get("/v1/traces", **WINDOW, label=label).json()
    assert [item["trace_id"] for item in page["items"]] == [f"trace-{number}" for number in numbers]
    assert [item["labels"] for item in page["items"]] == [LABELS[number] for number in numbers]


def test_a_page_goes_on_with_its_label(place: Place) -> None:
    first = place.client.get("/v1/traces", **WINDOW, label="model:ollama/llama3:8b", limit=2).json()
    second = place.client.get("/v1/traces", cursor=first["next_cursor"]).json()
    assert [item["trace_id"] for item in second["items"]] == ["trace-0"]


def test_a_trace_without_labels_shows_none(place: Place) -> None:
    assert place.client.get("/v1/traces/trace-3").json()["trace"]["labels"] == {}


def test_versions_say_since_when_and_how_many_runs(place: Place) -> None:
    found = place.get().json()
    shown = ("hash", "openclaw_agent_id", "model", "skill", "num_traces", "num_failed", "num_tool_calls", "cost_usd")
    assert [tuple(item[name] for name in shown) for item in found["items"]] == [
        (NEW, "main", "ollama/llama3:8b", "bb" * 6, 1, 0, 3, "0.25"),
        (OLD, "main", "ollama/llama3:8b", "aa" * 6, 2, 1, 6, "0.5"),
    ]
    assert [item["is_current"] for item in found["items"]] == [True, False]
    starts = [datetime.fromisoformat(item["first_run_at"]) for item in found["items"]]
    assert starts == [AT + timedelta(minutes=2), AT]
    (change,) = found["skill_changes"]
    assert datetime.fromisoformat(change.pop("at")) == AT + timedelta(minutes=1)
    assert change == {
        "action": "updated", "source": "clawtrace", "skill": "deploy",
        "before": hashlib.sha256(b"Deploy.").hexdigest()[:12], "after": hashlib.sha256(b"Once.").hexdigest()[:12],
        "why": "deploy ran five times",
    }  # fmt: skip


def test_a_version_is_read_and_two_are_compared(place: Place) -> None:
    read = place.get(f"/{OLD}").json()
    assert (read["hash"], read["primary_model"], read["fallback_models"]) == (OLD, "ollama/llama3:8b", ["fake/sim-2"])
    assert [(skill["name"], skill["text"]) for skill in read["skills"]] == [("deploy", "Deploy.\n")]
    compared = place.get("/diff", before=OLD, after=NEW).json()
    assert (compared["values"], len(compared["texts"])) == ([], 1)
    assert compared["texts"][0]["diff"].splitlines()[3:] == ["-Deploy.", "+Once."]
    assert place.get("/diff", before=OLD, after=OLD).json()["texts"] == []


def test_what_was_never_told_and_other_tenants_configurations_are_404(
    place: Place, api: httpx2.Client, read_key: Callable[[str, str], str]
) -> None:
    refused = place.get(f"/{UNTOLD}")
    assert refused.status_code == 404
    assert UNTOLD in refused.json()["detail"]
    assert place.get("/diff", before=OLD, after=UNTOLD).status_code == 404
    assert place.get("/no-hash").status_code == 422
    stranger = Place(Client(api, read_key(new_tenant_id(), "read")))
    assert stranger.get(f"/{OLD}").status_code == 404
    listed = stranger.get().json()
    assert (listed["items"], listed["skill_changes"]) == ([], [])


def test_the_commands_say_the_same(place: Place) -> None:
    listed = place.run("list", AGENT)
    assert listed.exit_code == 0, listed.output
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert [line[0] for line in lines[1:3]] == [NEW, OLD]
    assert "deploy ran five times" in listed.stdout
    shown = place.run("show", AGENT, OLD)
    assert "ollama/llama3:8b then fake/sim-2" in shown.stdout
    compared = place.run("diff", AGENT, OLD, NEW)
    assert [line.strip() for line in compared.stdout.splitlines()[-2:]] == ["-Deploy.", "+Once."]
    assert json.loads(place.run("diff", AGENT, OLD, NEW, "--json").stdout)["texts"][0]["name"] == "deploy"
    assert place.run("show", AGENT, UNTOLD).exit_code != 0
