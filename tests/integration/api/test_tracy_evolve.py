"""An agent asks about itself: with a model and without, and never about anybody else."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from infra.runtime.settings import StackSettings
from tests.days import wait_out_midnight
from tests.integration.api.conftest import change_silver, insert_rows
from tests.integration.api.tracy_stack import Asker, datas, new_key, own_database, served_tracy, text_of, write_run
from tests.messages_server import messages_server, obedient

PATH = "/v1/evolve/ask"
SKILL_PATH = "/v1/evolve/skill"
TASK = "agent:main:notes"


@dataclass(frozen=True)
class Place:
    """One tenant with three agents: one that loops, one that does not, and one that has done nothing."""

    stack: StackSettings
    database: Engine
    tenant_id: str

    def asker(self, http: httpx2.Client, agent_id: str, scope: str = "ingest") -> Asker:
        """An agent with its observe key."""
        return Asker(http, new_key(self.stack, self.database, self.tenant_id, scope, agent_id))


@pytest.fixture(scope="module")
def place(stack: StackSettings, written_rules: None) -> Iterator[Place]:
    # It is asked what today was.
    wait_out_midnight(300)
    tenant_id = f"evo{secrets.token_hex(6)}"
    answered = '{"content": [{"type": "text", "text": "three lines"}]}'
    repeated = tuple({"input": '{"path": "notes.txt"}', "output": answered} for _ in range(7))
    loop_id = f"loop{secrets.token_hex(6)}"
    write_run(stack, tenant_id, loop_id, agent_id="looper", name="Read notes", spans=repeated)
    card = {
        "tenant_id": tenant_id, "agent_id": "looper", "trace_id": loop_id, "trace_date": datetime.now(UTC).date(),
        "task_id": TASK, "name": "Read notes", "status": "ok", "num_tool_calls": 7, "total_cost_usd": Decimal("1.2345"),
    }  # fmt: skip
    insert_rows(stack, "cards", [card])
    once = ({"input": '{"path": "a.txt"}'}, {"input": '{"path": "b.txt"}'})
    write_run(
        stack, tenant_id, f"calm{secrets.token_hex(6)}", agent_id="calm", name="canaryofcalm", cost_usd=None, spans=once
    )
    alert = {
        "tenant_id": tenant_id, "agent_id": "looper", "alert_id": secrets.token_hex(16), "rule": "run_cost",
        "severity": "critical", "state": "alert", "message": "The run costs more than it may.", "at": datetime.now(UTC),
    }  # fmt: skip
    insert_rows(stack, "alerts", [alert])
    with own_database(stack) as database:
        policy = {"tenant_id": tenant_id, "agent_id": "looper", "posture": "last", "action": "abort", "day": 2}
        statement = sa.text(
            "INSERT INTO control.guard_policies (tenant_id, agent_id, posture, action, agent_day_limit_usd) "
            "VALUES (:tenant_id, :agent_id, :posture, :action, :day)"
        )
        with database.begin() as connection:
            connection.execute(statement, policy)
        yield Place(stack, database, tenant_id)
    for table in ("traces", "spans", "alerts", "cards"):
        change_silver(stack, f"DELETE FROM silver.{table} WHERE tenant_id = '{tenant_id}'")


def test_without_a_model_fixed_queries_answer(place: Place) -> None:
    with served_tracy(place.stack, place.database) as http:
        events = place.asker(http, "looper").ask("Am I looping?", PATH)
        text = text_of(events)
        assert "You may be looping" in text
        assert "the tool read, called 7 times with the same input" in text
        assert "Today (UTC): spent $1.2345; runs: 1, with errors: 0; model calls: 2." in text
        assert "Your limits: $2 per day. Of the day's limit $0.7655 is left." in text
        assert "Open alerts about you: 1." in text
        assert "The run costs more than it may." in text
        assert "canaryofcalm" not in json.dumps(events)
        assert all(citation["status"] == "checked" for citation in datas(events, "citation"))
        assert all("looper" in citation["sql"] for citation in datas(events, "citation") if citation["sql"] is not None)

        calm = text_of(place.asker(http, "calm").ask("Am I looping?", PATH))
        assert "You are not looping" in calm
        assert "spent: not known" in calm
        assert "No limit is set for you." in calm
        assert "No alert about you is open." in calm
        idle = text_of(place.asker(http, "idle").ask("How am I doing?", PATH))
        assert "Today (UTC) nothing of yours is recorded yet." in idle
        assert "number withheld" not in text + calm + idle


def test_with_a_model_only_the_own_agent_can_be_read(place: Place) -> None:
    with messages_server() as model, served_tracy(place.stack, place.database, tracy_base_url=model.url) as http:
        model.behaviour = obedient
        asker = place.asker(http, "looper")
        for sql, num_rows in (
            ("SELECT agent_id, name FROM traces", 1),
            ("SELECT agent_id, name FROM traces WHERE agent_id = 'calm' OR true", 1),
            ("WITH x AS (SELECT * FROM clawtrace.spans) SELECT x.agent_id FROM x JOIN traces AS t ON true", 7),
            ("SELECT (SELECT max(name) FROM traces) AS a, t.agent_id FROM traces t, spans AS s", 7),
            ("SELECT s.agent_id FROM traces t CROSS JOIN LATERAL (SELECT * FROM spans) s", 7),
            ("SELECT s.agent_id FROM traces t JOIN spans s ON s.trace_id <> 'x' LEFT JOIN agents a ON true", 7),
            ("SELECT b FROM spans AS s(a, b, c)", None),
            ("SELECT * FROM tenants", None),
        ):
            events = asker.ask(f"DO run_sql {json.dumps({'sql': sql})} DONE", PATH)
            assert datas(events, "tool_use"), sql
            (result,) = datas(events, "tool_result")
            assert [each["row_count"] for each in result["results"]] == ([num_rows] if num_rows else []), result
            assert "canaryofcalm" not in json.dumps(events) + model.bodies(), sql
            assert '"calm"' not in model.bodies().replace("\\", ""), sql
        # The session list of the tenant has none of it: agents' questions are not conversations.
        reader = place.asker(http, "looper", "read")
        assert http.get("/v1/tracy/sessions", headers=reader.headers).json() == {"items": []}


def test_only_an_observe_key_may_ask(place: Place) -> None:
    with served_tracy(place.stack, place.database) as http:
        assert http.post(PATH, json={}).status_code == 401
        assert http.post(PATH, json={}, headers=place.asker(http, "looper", "read").headers).status_code == 403
        assert (
            http.post(PATH, json={"agent_id": "calm"}, headers=place.asker(http, "looper").headers).status_code == 422
        )


def test_an_agent_is_told_what_its_own_runs_teach_and_no_others(place: Place) -> None:
    with served_tracy(place.stack, place.database) as http:
        looper, calm = place.asker(http, "looper").headers, place.asker(http, "calm").headers
        head = "---\nname: mine\ndescription: Mine.\n---\n"
        told = http.post(SKILL_PATH, json={"task_id": TASK, "current_text": head}, headers=looper).json()
        assert (told["agent_id"], told["task_id"], told["num_runs"]) == ("looper", TASK, 1)
        (prune,) = (patch for patch in told["patches"] if patch["kind"] == "prune")
        assert (prune["max_calls"], "notes.txt" in prune["line"]) == (1, True)
        assert told["saving"]["num_tool_calls"] == 6
        assert told["text"].startswith(head)
        # The same again, for the task that cost most, and from the text that came out.
        again = http.post(SKILL_PATH, json={"current_text": told["text"]}, headers=looper).json()
        assert again["text"] == told["text"]
        assert "canaryofcalm" not in json.dumps([told, again])
        for body in ({}, {"task_id": TASK}):
            refused = http.post(SKILL_PATH, json=body, headers=calm)
            assert refused.status_code == 404
            assert "calm has no finished run" in refused.json()["detail"]


def test_only_an_observe_key_may_learn(place: Place) -> None:
    with served_tracy(place.stack, place.database) as http:
        looper = place.asker(http, "looper").headers
        assert http.post(SKILL_PATH, json={}).status_code == 401
        assert http.post(SKILL_PATH, json={}, headers=place.asker(http, "looper", "read").headers).status_code == 403
        for body in ({"agent_id": "calm"}, {"use_model": True}, {"days": 0}):
            assert http.post(SKILL_PATH, json=body, headers=looper).status_code == 422, body
        long = "---\nname: mine\n---\n" + "a line of somebody's own\n" * 700
        refused = http.post(SKILL_PATH, json={"current_text": long}, headers=looper)
        assert refused.status_code == 422
        assert "tokens of its own" in refused.json()["detail"]
