"""The commands of people over the API of this checkout."""

import json
from collections.abc import Callable

import httpx2
import pytest
from typer.testing import CliRunner, Result

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.people import alerts_app, diff_app, trace_app, traces_app
from tests.integration.api.conftest import Client, Tenant


@pytest.fixture
def run(api: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("CLAWTRACE_API_URL", str(api.base_url))
    monkeypatch.setenv("COLUMNS", "240")
    return lambda app, client, *arguments: CliRunner().invoke(
        app, list(arguments), env={"CLAWTRACE_READ_KEY": client.key}
    )


def test_traces(run: Callable[..., Result], small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    done = run(traces_app, small)
    assert done.exit_code == 0, done.output
    assert all(tenants[0].trace_id(number) in done.stdout for number in range(3))
    assert tenants[1].canary not in done.stdout
    listed = json.loads(run(traces_app, small, "--json", "--limit", "2", "--sort", "cost_usd").stdout)
    assert len(listed["items"]) == 2
    assert "There are more" in run(traces_app, small, "--limit", "2").stderr
    nothing = run(traces_app, small, "--text", "no such words")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "Nothing found.\n")


def test_trace(run: Callable[..., Result], small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    own = tenants[0]
    done = run(trace_app, small, own.trace_id(0))
    assert done.exit_code == 0, done.output
    assert "$ 0.0125" in done.stdout
    assert len(json.loads(run(trace_app, small, own.trace_id(0), "--json").stdout)["span_id"]) == 3


def test_diff(run: Callable[..., Result], small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    ids = [tenants[0].trace_id(number) for number in (0, 1)]
    found = json.loads(run(diff_app, small, *ids, "--json").stdout)
    assert found["cost_delta_usd"] == "-0.0125"
    assert "-0.0125" in run(diff_app, small, *ids).stdout


def test_alerts(run: Callable[..., Result], small: Client, large: Client) -> None:
    listed = json.loads(run(alerts_app, large, "--json").stdout)["items"]
    assert len(listed) == 11
    alert_id = listed[0]["alert_id"]
    assert run(alerts_app, small, "--ack", alert_id).exit_code == EXIT_QUESTION
    done = run(alerts_app, large, "--ack", alert_id, "--note", "on it")
    assert (done.exit_code, "acked by key:" in done.stdout) == (0, True)
    assert alert_id not in {item["alert_id"] for item in json.loads(run(alerts_app, large, "--json").stdout)["items"]}
    assert alert_id in run(alerts_app, large, "--all").stdout


def test_whose_fault_it_is(run: Callable[..., Result], small: Client, tenants: tuple[Tenant, Tenant]) -> None:
    unknown = run(trace_app, small, tenants[1].trace_id(0))
    assert (unknown.exit_code, unknown.stdout) == (EXIT_QUESTION, "")
    assert "there is no trace" in unknown.stderr
    away = run(traces_app, small, "--url", "http://127.0.0.1:9")
    assert away.exit_code == EXIT_AWAY
    assert "clawtrace status" in away.stderr
    assert run(traces_app, small, "--key", "nonsense").exit_code == EXIT_QUESTION
    assert "sort" in run(traces_app, small, "--sort", "colour").stderr
