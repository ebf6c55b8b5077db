"""`clawtrace tail`, `top`, `ask` and `doctor` over the API of this checkout and the running stack."""

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import pytest
from typer.testing import CliRunner

from api.client import EXIT_AWAY, ApiClient, ApiError, Door
from api.console.ask import ask_app
from api.console.doctor.checks import CHECKS
from api.console.follow import LIVE_PATH
from api.console.top import top_app
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import api_settings, change_silver, new_tenant_id, served
from tests.integration.api.live_topics import SPANS, OwnTopics, own_topics, spans_of
from tests.integration.api.tracy_stack import new_key, own_database, served_tracy, write_run
from tests.integration.doors import wait_until
from tests.messages_server import Say, messages_server, script
from tests.stack import run_clawtrace


@pytest.fixture(scope="module")
def topics(stack: StackSettings) -> Iterator[OwnTopics]:
    with own_topics(stack) as made:
        yield made


def position(url: str, key: str) -> str:
    """Where the live stream stands now; empty while the topics were not read yet."""
    with ApiClient(Door(url, key)) as api:
        try:
            with api.stream(LIVE_PATH) as events:
                return next(events).id
        except ApiError:
            return ""


def test_tail_misses_nothing_and_repeats_nothing_over_many_connections(
    stack: StackSettings, topics: OwnTopics, read_key: Callable[[str, str], str]
) -> None:
    tenant_id = new_tenant_id()
    key = read_key(tenant_id, "read")
    wanted = [f"s{number:03d}" for number in range(24)]
    # A stream lasts half a second here, so the command comes back all the time.
    with served(api_settings(stack, topic_prefix=topics.prefix, api_live_stream_s=0.5)) as api:
        url = str(api.base_url)
        start = wait_until(lambda: position(url, key), bool, "the window is there")
        arrived = threading.Event()

        def send() -> None:
            for rev, span_id in enumerate(wanted, start=1):
                topics.send(SPANS, 0, spans_of(tenant_id, rev, span_id))
                arrived.wait(0.1)

        sender = threading.Thread(target=send)
        sender.start()
        # As a process, which can be ended: were anything lost, it would wait for it for ever.
        arguments = ["--json", "--after", start, "--limit", str(len(wanted)), "--url", url, "--key", key]
        done = run_clawtrace("tail", *arguments, environment=dict(os.environ))
        sender.join()
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["data"]["span_id"] for line in lines] == wanted
        # Whoever goes on from the middle gets the rest.
        arguments[2], arguments[4] = lines[15]["id"], "8"
        rest = run_clawtrace("tail", *arguments, environment=dict(os.environ))
        assert [json.loads(line)["data"]["span_id"] for line in rest.stdout.splitlines()] == wanted[16:]


def test_top_sums_what_the_tables_have(
    stack: StackSettings, api: httpx2.Client, written_rules: None, read_key: Callable[[str, str], str]
) -> None:
    tenant_id, now = new_tenant_id(), datetime.now(UTC)
    call = {"kind": "model_call", "name": "chat sim-1", "ended_at": now, "tool_name": None}
    spans = ({**call, "cost_usd": Decimal("0.25")}, {**call, "cost_usd": None}, {"kind": "run", "status": "running"})
    write_run(stack, tenant_id, f"tr{secrets.token_hex(8)}", agent_id="office-mac", at=now, spans=spans)
    try:
        arguments = ["--once", "--json", "--minutes", "30", "--url", str(api.base_url), "--key"]
        done = CliRunner().invoke(top_app, [*arguments, read_key(tenant_id, "read")])
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)
        assert (found["usd_per_hour"], found["alerts"]) == ("0.5", [])
        (agent,) = found["agents"]
        assert (agent["agent_id"], agent["num_open_runs"], agent["usd_per_hour"]) == ("office-mac", 1, "0.5")
    finally:
        for table in ("traces", "spans"):
            change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


def test_ask_prints_what_was_proved(stack: StackSettings, written_rules: None) -> None:
    tenant_id = f"ask{secrets.token_hex(5)}"
    write_run(stack, tenant_id, f"tr{secrets.token_hex(8)}", name="Count the notes")
    sql = "SELECT cost_usd FROM traces WHERE trace_date >= current_date - INTERVAL '1' DAY"
    try:
        with (
            own_database(stack) as database,
            messages_server() as model,
            served_tracy(stack, database, tracy_base_url=model.url, tracy_model="sim-3") as http,
        ):
            model.behaviour = script(
                Say("", (("run_sql", {"sql": sql}),)), Say("It cost [[$1.23|r1.0.cost_usd]], not $9.99.\n")
            )
            key = new_key(stack, database, tenant_id, "read")
            done = CliRunner().invoke(ask_app, ["What did it cost?", "--url", str(http.base_url), "--key", key])
            assert done.exit_code == 0, done.output
            assert "It cost $1.23 [c1], not (number withheld)" in done.stdout
            assert "[c1]  checked  $1.23\n      SELECT cost_usd FROM traces WHERE" in done.stdout
            assert "withheld: 1" in done.stdout
    finally:
        change_silver(stack, f"DELETE FROM silver.traces WHERE tenant_id = '{tenant_id}'")


def test_ask_says_how_to_give_tracy_a_model(api: httpx2.Client, read_key: Callable[[str, str], str]) -> None:
    arguments = ["What?", "--url", str(api.base_url), "--key", read_key(new_tenant_id(), "read")]
    done = CliRunner().invoke(ask_app, arguments)
    assert (done.exit_code, done.stdout) == (EXIT_AWAY, "")
    assert "CLAWTRACE_TRACY_API_KEY" in done.stderr


def test_doctor_looks_at_the_running_stack(
    clawtrace: Callable[..., subprocess.CompletedProcess[str]], read_key: Callable[[str, str], str]
) -> None:
    key = read_key(new_tenant_id(), "read")

    def look() -> tuple[int, bool, dict[str, str]]:
        done = clawtrace("doctor", "--json", "--key", key)
        found = json.loads(done.stdout)
        return done.returncode, found["is_well"], {it["check"]: it["level"] for it in found["findings"]}

    # On a busy machine Trino may be too late for one look.
    code, is_well, levels = wait_until(look, lambda found: found[2]["api"] == "fine", "the API has what it needs")
    assert set(levels) == {check.name for check in CHECKS}
    assert {levels[name] for name in ("key", "clocks", "plugin", "coverage", "prices")} == {"fine"}
    # The tenant is new.
    assert (code, is_well, levels["agents"]) == (EXIT_AWAY, False, "wrong")
    # They were looked at; other tests may have left something.
    assert "skipped" not in {levels[name] for name in ("stack", "disk", "flow", "dead letters")}
