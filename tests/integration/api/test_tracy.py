"""Tracy over real Trino and Postgres, with a real server that speaks the Messages API in the model's place."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine

from infra.runtime.access_keys import revoke_key
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import change_silver
from tests.integration.api.test_api import SLOW
from tests.integration.api.tracy_stack import (
    Asker,
    datas,
    new_key,
    own_database,
    read_events,
    served_tracy,
    text_of,
    write_run,
)
from tests.integration.doors import wait_until
from tests.messages_server import Cut, Fail, MessagesServer, Say, messages_server, script

COST = (
    "SELECT trace_id, cost_usd, input_tokens, duration_ms FROM traces "
    "WHERE trace_date >= current_date - INTERVAL '1' DAY"
)


RUNNING = "clawtrace_api_queries_running"


@dataclass(frozen=True)
class Place:
    """What the tests of this module work with."""

    stack: StackSettings
    database: Engine
    model: MessagesServer
    http: httpx2.Client
    tenant_id: str
    trace_id: str

    def asker(self, tenant_id: str = "") -> Asker:
        """A tenant with a read key."""
        return Asker(self.http, new_key(self.stack, self.database, tenant_id or self.tenant_id, "read"))


@pytest.fixture(scope="module")
def place(stack: StackSettings, written_rules: None) -> Iterator[Place]:
    """One tenant with one run of $1.2345, an API, a model."""
    tenant_id, trace_id = f"tracy{secrets.token_hex(5)}", f"tr{secrets.token_hex(8)}"
    write_run(stack, tenant_id, trace_id, name="Count the notes")
    with (
        own_database(stack) as database,
        messages_server() as model,
        served_tracy(stack, database, tracy_base_url=model.url, tracy_max_queries=4, tracy_model="sim-3") as http,
    ):
        yield Place(stack, database, model, http, tenant_id, trace_id)
    for table in ("traces", "spans"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


@pytest.fixture
def asker(place: Place) -> Asker:
    place.model.requests.clear()
    return place.asker()


def test_a_figure_leaves_with_its_sql_and_snapshot(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(
        Say("Let me look.", (("run_sql", {"sql": COST}),)),
        Say("It cost [[$1.23|r1.0.cost_usd]] and took [[1.5 s|r1.0.duration_ms]]. It cost $9.99, or twelve dollars.\n"),
    )
    events = asker.ask("What did the run cost?")
    assert [name for name, _ in events if name != "citation"] == [
        "session", "text", "tool_use", "tool_result", "text", "done",
    ]  # fmt: skip
    assert "It cost [$1.23](#c1) and took [1.5 s](#c2). It cost (number withheld), or (number withheld) dollars." in (
        text_of(events)
    )
    cost, duration, *withheld = datas(events, "citation")
    assert (cost["status"], cost["shown"], cost["result"], cost["column"]) == ("checked", "$1.23", "r1", "cost_usd")
    assert cost["snapshots"]["silver.traces"].isdigit()
    assert duration["status"] == "checked"
    assert [item["status"] for item in withheld] == ["withheld", "withheld"]
    done = datas(events, "done")[0]
    assert (done["stop"], done["num_queries"], done["num_withheld"], done["cost_usd"]) == ("end", 1, 2, None)
    # The SQL of a citation gives the figure to everybody who asks with it.
    again = asker.http.post("/v1/sql", json={"sql": cost["sql"]}, headers=asker.headers).json()
    assert again["rows"][0][1] == "1.2345"


def test_a_wrong_figure_is_withheld(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(
        Say(tools=(("run_sql", {"sql": COST}),)),
        Say("[[$1.24|r1.0.cost_usd]] [[$1.23|r7.0.cost_usd]] [[$1.23|r1.5.cost_usd]] [[12,345 ms|r1.0.input_tokens]]"),
    )
    events = asker.ask("What did it cost?")
    assert text_of(events).strip() == " ".join(["(number withheld)"] * 4)
    assert all(item["reason"] for item in datas(events, "citation"))


def test_a_session_goes_on_and_belongs_to_its_tenant(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(Say("Hello, all is well."))
    session_id = datas(asker.ask("How are things?"), "session")[0]["session_id"]
    place.model.behaviour = script(Say("As I said."))
    events = asker.ask("And now?", session_id=session_id, page={"trace_id": place.trace_id})
    assert datas(events, "session") == [{"session_id": session_id}]
    sent = place.model.requests[-1]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert sent[1]["content"][0]["text"] == "Hello, all is well."
    assert place.trace_id in sent[2]["content"][0]["text"]

    detail = asker.http.get(f"/v1/tracy/sessions/{session_id}", headers=asker.headers).json()
    assert [turn["question"] for turn in detail["turns"]] == ["How are things?", "And now?"]
    assert detail["turns"][1]["page"] == {"trace_id": place.trace_id}
    assert detail["turns"][0]["events"][-1]["event"] == "done"
    listed = asker.http.get("/v1/tracy/sessions", headers=asker.headers).json()["items"]
    assert session_id in {item["session_id"] for item in listed}

    other = place.asker("someoneelse")
    for method, path in (("GET", session_id), ("DELETE", session_id)):
        assert other.http.request(method, f"/v1/tracy/sessions/{path}", headers=other.headers).status_code == 404
    assert other.http.get("/v1/tracy/sessions", headers=other.headers).json() == {"items": []}
    body = {"question": "Go on", "session_id": session_id}
    assert other.http.post("/v1/tracy/chat", json=body, headers=other.headers).status_code == 404

    path = f"/v1/tracy/sessions/{session_id}"
    assert asker.http.delete(path, headers=asker.headers).json() == {"deleted": True}
    assert asker.http.get(path, headers=asker.headers).status_code == 404


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Fail(529, "overloaded_error"), "model-overloaded"),
        (Fail(200, "overloaded_error", in_stream=True), "model-overloaded"),
        (Fail(429, "rate_limit_error"), "model-busy"),
        (Fail(401, "authentication_error"), "model-key"),
        (Fail(404, "not_found_error"), "model-unknown"),
        (Fail(400, "invalid_request_error"), "model-refused"),
        (Fail(500, "api_error"), "model-error"),
        (Cut("The answer is that"), "model-cut"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failing_model_is_said_and_the_session_lives(
    place: Place, asker: Asker, reply: Fail | Cut, code: str
) -> None:
    place.model.behaviour = script(reply)
    events = asker.ask("What happened?")
    assert events[-1][0] == "error"
    assert events[-1][1]["code"] == code
    assert events[-1][1]["message"].endswith(".")
    place.model.behaviour = script(Say("Now it works."))
    session_id = datas(events, "session")[0]["session_id"]
    assert text_of(asker.ask("Again?", session_id=session_id)).strip() == "Now it works."


def test_the_prompt_is_cached(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(Say(tools=(("describe_schema", {"table": "spans"}),)), Say("Good."))
    asker.ask("What is there?")
    first, second = place.model.requests
    assert first["system"] == second["system"]
    assert first["tools"] == second["tools"]
    assert first["system"][-1]["cache_control"] == first["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    marks = [block for message in second["messages"] for block in message["content"] if "cache_control" in block]
    assert marks == [second["messages"][-1]["content"][-1]]


def test_queries_are_limited_and_then_refused(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(Say(tools=(("run_sql", {"sql": "SELECT 1 AS num_ones"}),)))
    events = asker.ask("Ask for ever")
    assert datas(events, "done")[0]["stop"] == "budget"
    assert datas(events, "done")[0]["num_queries"] == 4
    refused = [data["message"] for data in datas(events, "tool_result") if data["is_error"]]
    assert refused
    assert all("4 queries" in message for message in refused)


def test_a_chart_shows_rows_of_a_result_and_no_text_of_its_own(place: Place, asker: Asker) -> None:
    option = {
        "title": {"text": "Cost was 99 dollars <b>{b}</b> http://evil.example/x"},
        "xAxis": {"type": "category"},
        "yAxis": {"type": "value", "name": "USD"},
        "series": [{"type": "bar", "encode": {"x": "trace_id", "y": "cost_usd"}}],
    }
    with_function = {**option, "tooltip": {"formatter": "function(){}"}}
    place.model.behaviour = script(
        Say(tools=(("run_sql", {"sql": COST}),)),
        Say(tools=(("draw_chart", {"result": "r1", "option": with_function}),)),
        Say(tools=(("draw_chart", {"result": "r1", "option": {**option, "title": {"text": "Cost"}}}),)),
        Say("There."),
    )
    events = asker.ask("Draw it")
    (chart,) = datas(events, "chart")
    assert chart["option"]["dataset"]["source"] == [[place.trace_id, 1.2345, 12345, 1500]]
    assert chart["option"]["tooltip"] == {"trigger": "axis", "renderMode": "richText"}
    assert chart["snapshots"]["silver.traces"]
    assert [data["is_error"] for data in datas(events, "tool_result")] == [False, True, False]


def test_all_tools_answer(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(
        Say(tools=(("get_trace", {"trace_id": place.trace_id}), ("get_trace", {"trace_id": "x' OR 'a"}))),
        Say(tools=(("get_card", {"trace_id": place.trace_id}), ("list_alerts", {}), ("budget_status", {}))),
        Say("[Count the notes](/traces/" + place.trace_id + ") cost [[$1.2345|r1.0.cost_usd]]; [[0|r4.count]] alerts."),
    )
    events = asker.ask("Tell me all")
    results = datas(events, "tool_result")
    assert [result["is_error"] for result in results] == [False, True, False, False, True]
    assert "letters, digits" in results[1]["message"]
    assert "4 queries" in results[4]["message"]
    expected = f"[Count the notes](/traces/{place.trace_id}) cost [$1.2345](#c1); [0](#c2) alerts."
    assert text_of(events).strip() == expected


def test_without_a_model_the_answer_says_how_to_set_one(place: Place) -> None:
    with served_tracy(place.stack, place.database, tracy_base_url="") as http:
        asker = Asker(http, new_key(place.stack, place.database, place.tenant_id, "read"))
        (event,) = asker.ask("Anybody there?")
        assert event[0] == "error"
        assert event[1]["code"] == "not-configured"
        assert "CLAWTRACE_TRACY_API_KEY" in event[1]["message"]
        assert http.get("/v1/tracy/sessions", headers=asker.headers).status_code == 200


def test_odd_characters_break_nothing(place: Place, asker: Asker) -> None:
    calls = (
        ("run_sql", {"sql": "SELECT 1 AS a -- \x00"}),
        ("run_sql", {"sql": "SELECT '\ud800' AS a"}),
        ("get_trace\x00", {"\x00": "\x00"}),
    )
    place.model.behaviour = script(Say("a\x00b\ud83d", calls), Say("Good."))
    body = '{"question": "Is \\u0000 this \\ud800 fine?"}'
    headers = {**asker.headers, "Content-Type": "application/json"}
    answer = asker.http.post("/v1/tracy/chat", content=body, headers=headers)
    assert answer.status_code in (200, 422), answer.text
    events = asker.ask("Is \x00 this fine?")
    assert all(data["is_error"] for data in datas(events, "tool_result"))
    assert "not kept" not in text_of(events)
    assert events[-1][0] == "done"


def test_a_client_that_hangs_up_ends_the_query(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(Say("Let me see.\n", (("run_sql", {"sql": SLOW}),)))
    body = {"question": "How many?"}
    with asker.http.stream("POST", "/v1/tracy/chat", json=body, headers=asker.headers) as stream:
        wait_until(lambda: REGISTRY.get_sample_value(RUNNING), lambda running: running == 1, "the query runs")
        assert stream.status_code == 200
    wait_until(lambda: REGISTRY.get_sample_value(RUNNING), lambda running: running == 0, "the query ends")


def test_a_revoked_key_ends_the_answer(place: Place, asker: Asker) -> None:
    place.model.behaviour = script(Say("Let me see.\n", (("run_sql", {"sql": SLOW}),)))
    body = {"question": "How many?"}
    with asker.http.stream("POST", "/v1/tracy/chat", json=body, headers=asker.headers) as stream:
        wait_until(lambda: REGISTRY.get_sample_value(RUNNING), lambda running: running == 1, "the query runs")
        assert revoke_key(place.database, asker.key.split("_")[2])
        revoked_at_s = time.monotonic()
        events = read_events(stream.read().decode())
        # What is promised is in tests/unit/api/test_promises.py.
        print(f"key revoked -> answer over: {time.monotonic() - revoked_at_s:.1f} s")
    assert events[-1][0] == "error"
    assert events[-1][1]["code"] == "unauthorised"
    wait_until(lambda: REGISTRY.get_sample_value(RUNNING), lambda running: running == 0, "the query ends")


def test_keys_and_bodies_are_checked(place: Place, asker: Asker) -> None:
    body = {"question": "Hello"}
    assert asker.http.post("/v1/tracy/chat", json=body).status_code == 401
    ingest = new_key(place.stack, place.database, place.tenant_id, "ingest")
    headers = {"Authorization": f"Bearer {ingest}"}
    assert asker.http.post("/v1/tracy/chat", json=body, headers=headers).status_code == 403
    assert asker.http.post("/v1/tracy/chat", json={"question": "  "}, headers=asker.headers).status_code == 422
    assert asker.http.get("/v1/tracy/sessions/%00", headers=asker.headers).status_code == 422
    bad_page = {"question": "Hi", "page": {"trace_id": "x y"}}
    assert asker.http.post("/v1/tracy/chat", json=bad_page, headers=asker.headers).status_code == 422
