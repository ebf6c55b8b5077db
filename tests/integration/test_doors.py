"""The doors of the stack behave as promised: status, keys, bad input, tenants, the API's shapes."""

import gzip
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.captures import hook_lines
from tests.integration.doors import Doors, spool_id_of, wait_until, wire_batch
from tests.stack import ALERT_LIMIT_USD, run_clawtrace

Clawtrace = Callable[..., subprocess.CompletedProcess[str]]


def test_status_tells_endpoints_and_processes(stack: StackSettings, clawtrace: Clawtrace) -> None:
    done = clawtrace("status", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    status = json.loads(done.stdout)
    assert status["ready"] is True
    assert set(status["endpoints"]) == {"gateway", "api", "trino", "kafka", "postgres"}
    assert status["endpoints"]["gateway"] == stack.gateway_url
    names = {process["name"] for process in status["processes"]}
    assert {"kafka", "postgres", "trino", "gateway", "stitcher", "sink", "upkeep", "api"} <= names
    for process in status["processes"]:
        assert set(process) == {"name", "pid", "rss_bytes", "restarts", "state"}
        assert process["state"] == "running"
        assert process["rss_bytes"] > 0


def test_up_again_says_that_it_runs(clawtrace: Clawtrace) -> None:
    assert clawtrace("up").returncode == 0


def test_a_second_stack_on_the_same_ports_is_refused_in_plain_words(
    stack_environment: dict[str, str], tmp_path: Any
) -> None:
    done = run_clawtrace("up", environment={**stack_environment, "CLAWTRACE_HOME": str(tmp_path / "other")})
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert stack_environment["CLAWTRACE_PORT_BASE"] in said
    assert "CLAWTRACE_PORT_BASE" in said


@pytest.fixture(scope="module")
def keys(make_key: Callable[..., str]) -> dict[str, str]:
    """Ingest and read keys of two tenants."""
    made = {}
    for tenant in ("doorsone", "doorstwo"):
        for scope in ("ingest", "read"):
            made[f"{tenant}.{scope}"] = make_key(tenant, "agent", scope)
    return made


class TestBadInput:
    def test_one_bad_event_never_sinks_its_batch(self, doors: Doors, keys: dict[str, str]) -> None:
        body = wire_batch(hook_lines("simple")[:3], spool_id_of("doors", "one-bad"))
        body["events"][1]["at_us"] = "yesterday"
        answer = doors.send(keys["doorsone.ingest"], body)
        assert answer.status_code == 202
        receipt = answer.json()
        assert receipt["accepted"] == 2
        assert [rejected["index"] for rejected in receipt["rejected"]] == [1]
        assert "at_us" in receipt["rejected"][0]["error"]

    def test_unparsable_events_are_kept_with_their_bytes(self, doors: Doors, keys: dict[str, str]) -> None:
        before = doors.end_offsets(["clawtrace.events.v1.dlq"])
        spool_id = spool_id_of("doors", "dead-letter")
        body = wire_batch(hook_lines("simple")[:2], spool_id)
        body["events"][0]["seq"] = "not a number"
        assert doors.send(keys["doorsone.ingest"], body).status_code == 202
        # Others bury letters there too.
        letters = [
            it for it in doors.records_since(before) if ("clawtrace.spool_id", spool_id.encode()) in it.headers()
        ]
        assert [json.loads(letter.value()) for letter in letters] == [body["events"][0]]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (b'{"schema_version": 1}', "source"),
            (b'{"schema_version": 7, "source": {"name": "x"}, "spool_id": "x", "events": [{}]}', "schema_version"),
            (
                b'{"schema_version": 1, "source": {"name": "x"}, "spool_id": "not-a-uuid", "events": [{}]}',
                "spool_id",
            ),
        ],
    )
    def test_a_bad_head_is_refused_by_the_name_of_its_field(
        self, doors: Doors, keys: dict[str, str], body: bytes, field: str
    ) -> None:
        answer = doors.send_raw(keys["doorsone.ingest"], body)
        assert answer.status_code == 422
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert field in answer.text

    @pytest.mark.parametrize(
        "body",
        [b"\xff\xfe\x00", b'{"schema_version": 1, "events": [', b"[" * 100_000, b"null", b""],
        ids=["bad-utf8", "truncated", "deep", "null", "empty"],
    )
    def test_what_is_no_batch_is_refused_not_crashed_on(self, doors: Doors, keys: dict[str, str], body: bytes) -> None:
        assert doors.send_raw(keys["doorsone.ingest"], body).status_code == 422
        assert doors.client.get(f"{doors.stack.gateway_url}/readyz").status_code == 200

    def test_too_big_is_413(self, doors: Doors, keys: dict[str, str]) -> None:
        assert doors.send_raw(keys["doorsone.ingest"], b" " * (5 * 1024 * 1024)).status_code == 413

    def test_a_gzip_bomb_is_413(self, doors: Doors, keys: dict[str, str]) -> None:
        bomb = gzip.compress(b" " * (64 * 1024 * 1024))
        answer = doors.send_raw(keys["doorsone.ingest"], bomb, **{"Content-Encoding": "gzip"})
        assert answer.status_code == 413


class TestKeys:
    def test_no_key_and_a_wrong_key_are_401(self, doors: Doors) -> None:
        answer = doors.client.post(f"{doors.stack.gateway_url}/v1/events", content=b"{}")
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert doors.send_raw("ct_ingest_nope", b"{}").status_code == 401
        assert doors.get("ct_read_nope", "/v1/traces").status_code == 401

    def test_a_key_opens_only_its_own_door(self, doors: Doors, keys: dict[str, str]) -> None:
        assert doors.send_raw(keys["doorsone.read"], b"{}").status_code == 403
        assert doors.get(keys["doorsone.ingest"], "/v1/traces").status_code == 403

    def test_a_revoked_key_stops_working_without_a_restart(
        self, doors: Doors, make_key: Callable[..., str], clawtrace: Clawtrace
    ) -> None:
        done = clawtrace("keys", "create", "--tenant", "doorsone", "--agent", "agent", "--scope", "read", "--json")
        created = json.loads(done.stdout)
        assert set(created) == {"key", "key_id", "tenant_id", "agent_id", "scope"}
        assert doors.get(created["key"], "/v1/traces").status_code == 200
        assert clawtrace("keys", "revoke", created["key_id"]).returncode == 0
        wait_until(
            lambda: doors.get(created["key"], "/v1/traces").status_code,
            lambda status: status == 401,
            "revoked key refused",
        )
        listed = clawtrace("keys", "list", "--json").stdout
        assert created["key"] not in listed


@pytest.fixture(scope="module")
def two_tenants(doors: Doors, keys: dict[str, str]) -> None:
    """The same run for one tenant, three runs for the other."""
    sent = {"doorsone": ("multi-tool",), "doorstwo": ("runaway", "subagent", "tool-error")}
    for tenant, scenarios in sent.items():
        for scenario in scenarios:
            body = wire_batch(hook_lines(scenario), spool_id_of(tenant, scenario))
            assert doors.send(keys[f"{tenant}.ingest"], body).status_code == 202
    doors.wait_until_stored()


@pytest.mark.usefixtures("two_tenants")
class TestApi:
    def test_traces_come_in_pages_that_hold_each_trace_once(self, doors: Doors, keys: dict[str, str]) -> None:
        whole = doors.get(keys["doorstwo.read"], "/v1/traces", limit=100).json()
        assert whole["next_cursor"] is None
        paged, cursor = [], None
        while True:
            parameters: dict[str, Any] = {"limit": 1} | ({"cursor": cursor} if cursor else {})
            page = doors.get(keys["doorstwo.read"], "/v1/traces", **parameters).json()
            paged += [item["trace_id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert paged == [item["trace_id"] for item in whole["items"]]
        assert len(set(paged)) == len(paged) == 3

    def test_a_trace_has_its_spans_and_a_span_its_payloads(self, doors: Doors, keys: dict[str, str]) -> None:
        items = doors.get(keys["doorsone.read"], "/v1/traces").json()["items"]
        found = next(item for item in items if item["num_tool_calls"] == 5)
        detail = doors.get(keys["doorsone.read"], f"/v1/traces/{found['trace_id']}").json()
        call = next(span for span in detail["spans"] if span["kind"] == "model_call")
        assert set(call["tokens"]) == {"input", "cache_read", "cache_write", "output"}
        assert isinstance(call["cost_usd"], str)
        assert "input" not in call, "a skeleton carries no payloads"
        tool = next(span for span in detail["spans"] if span["kind"] == "tool_call")
        place = f"/v1/traces/{found['trace_id']}/spans/{tool['span_id']}"
        step = doors.get(keys["doorsone.read"], place, payloads=True).json()
        assert step["input"] is not None
        assert step["output"] is not None

    def test_the_runaway_raised_each_alert_once_with_its_proof(self, doors: Doors, keys: dict[str, str]) -> None:
        items = doors.get(keys["doorstwo.read"], "/v1/alerts").json()["items"]
        by_rule = {item["rule"]: item for item in items}
        assert sorted(item["rule"] for item in items) == ["run_cost", "tool_loop"]
        alert = by_rule["run_cost"]
        assert {"alert_id", "rule", "severity", "state", "trace_id", "span_id", "at"} <= set(alert)
        assert Decimal(alert["evidence"]["cost_usd"]) > Decimal(ALERT_LIMIT_USD)
        assert Decimal(alert["evidence"]["limit_usd"]) == Decimal(ALERT_LIMIT_USD)
        trace = doors.get(keys["doorstwo.read"], f"/v1/traces/{alert['trace_id']}").json()
        assert alert["span_id"] in {span["span_id"] for span in trace["spans"]}
        assert doors.get(keys["doorsone.read"], "/v1/alerts").json()["items"] == []

    def test_a_foreign_trace_is_not_found(self, doors: Doors, keys: dict[str, str]) -> None:
        foreign = doors.get(keys["doorstwo.read"], "/v1/traces").json()["items"][0]["trace_id"]
        assert doors.get(keys["doorsone.read"], f"/v1/traces/{foreign}").status_code == 404

    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT DISTINCT tenant_id FROM spans",
            "SELECT tenant_id FROM spans WHERE tenant_id = 'doorstwo' -- doorsone",
            "SELECT tenant_id FROM traces UNION ALL SELECT tenant_id FROM spans",
        ],
    )
    def test_sql_shows_the_caller_only(self, doors: Doors, keys: dict[str, str], statement: str) -> None:
        rows = doors.sql(keys["doorsone.read"], statement)
        assert {row["tenant_id"] for row in rows} <= {"doorsone"}

    @pytest.mark.parametrize(
        "statement",
        ['SELECT * FROM "spans$files"', "SELECT * FROM silver.spans", "DROP VIEW spans", "EXPLAIN SELECT 1"],
    )
    def test_sql_that_is_not_for_tenants_is_refused(self, doors: Doors, keys: dict[str, str], statement: str) -> None:
        answer = doors.client.post(
            f"{doors.stack.api_url}/v1/sql",
            json={"sql": statement},
            headers={"Authorization": f"Bearer {keys['doorsone.read']}"},
        )
        assert answer.status_code in (403, 422)

    def test_the_command_line_answers_in_json(self, clawtrace: Clawtrace, keys: dict[str, str]) -> None:
        done = clawtrace("sql", "SELECT count(*) AS num_traces FROM traces", "--key", keys["doorsone.read"], "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"] == [[1]]


def test_every_listener_is_on_loopback(clawtrace: Clawtrace) -> None:
    import psutil

    status = json.loads(clawtrace("status", "--json").stdout)
    pids = {child.pid for process in status["processes"] for child in _family(psutil.Process(process["pid"]))}
    listening = [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in pids]
    assert listening
    assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def _family(process: Any) -> list[Any]:
    return [process, *process.children(recursive=True)]


def test_openapi_documents_are_served(doors: Doors) -> None:
    for base in (doors.stack.gateway_url, doors.stack.api_url):
        answer: httpx2.Response = doors.client.get(f"{base}/openapi.json")
        assert answer.status_code == 200
        assert answer.json()["openapi"].startswith("3.")
