"""Scores of a trace and comparisons by label, over real Postgres and Trino; the judge asks a server of the test."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.learn.judge import MAX_REASON_CHARS
from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from stream_jobs.contracts.score import MAX_COMMENT_CHARS
from tests.integration.api.conftest import Client, People, insert_rows, people_of
from tests.integration.api.tracy_stack import new_key, own_database, served_tracy, write_run
from tests.messages_server import Fail, MessagesServer, Say, messages_server, script

NOW = datetime.now(UTC)
RUBRIC = """
[[criterion]]
name = "cheap"
kind = "cost_at_most"
usd = "5"

[[criterion]]
name = "answered"
kind = "judge"
question = "Does the reply answer what was asked?"
weight = 2
"""


def write_card(stack: StackSettings, tenant_id: str, trace_id: str, **more: Any) -> None:
    """Write the card of a run into the lake."""
    row = {
        "tenant_id": tenant_id,
        "agent_id": "agent",
        "trace_id": trace_id,
        "trace_date": NOW.date(),
        "task_id": "nightly",
        "status": "ok",
        "started_at": NOW,
        **dict.fromkeys(("top_cost_spans", "redundant_tool_calls", "sub_agents", "critical_path", "reread_bill"), "[]"),
        **more,
    }
    insert_rows(stack, "cards", [row])


def scores_of(client: Client, trace_id: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/traces/{trace_id}/scores")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_what_people_say_is_there_at_once_and_replaces_what_they_said(stack: StackSettings, people: People) -> None:
    write_run(stack, people.tenant_id, "scored")
    path = "/v1/traces/scored/scores"
    assert scores_of(people.viewer, "scored") == []
    first = people.operator.send("POST", path, {"value": 0.25, "comment": " Wrong file.\n"})
    assert first.status_code == 201, first.text
    said = first.json()
    assert (said["source"], said["criterion"], said["value"], said["comment"]) == (
        "human",
        "overall",
        0.25,
        "Wrong file.",
    )
    better = people.operator.send("POST", path, {"value": 1})
    assert better.json()["score_id"] == said["score_id"]
    # Another person, another criterion, and comments stand beside it.
    assert people.admin.send("POST", path, {"value": 0.5}).status_code == 201
    assert people.operator.send("POST", path, {"value": 0, "criterion": "style"}).status_code == 201
    for text in ("one", "two"):
        assert people.operator.send("POST", path, {"comment": text}).status_code == 201
    found = scores_of(people.viewer, "scored")
    assert sorted((it["criterion"], it["value"], it["comment"]) for it in found if it["value"] is not None) == [
        ("overall", 0.5, ""),
        ("overall", 1.0, ""),
        ("style", 0.0, ""),
    ]
    assert [it["comment"] for it in found if it["value"] is None] == ["two", "one"]
    entries = people.audited("score.give")
    assert [entry["target"] for entry in entries] == ["scored"] * 6
    assert entries[0]["details"]["scores"][0]["value"] is None


def test_the_tables_scores_are_shown_with_those_just_given_once(stack: StackSettings, people: People) -> None:
    write_run(stack, people.tenant_id, "stored")
    given = people.operator.send("POST", "/v1/traces/stored/scores", {"value": 0.75}).json()
    head = {"tenant_id": people.tenant_id, "agent_id": "agent", "trace_id": "stored", "trace_date": NOW.date()}
    rows = [
        (given["score_id"], "human", "overall", 0.75, 9),
        ("a", "rule", "total", 0.5, 2),
        ("a", "rule", "total", 0.9, 3),
        ("b", "rule", "cheap", None, 3),
        ("c", "model", "answered", 0.1, 3),
    ]
    names = ("score_id", "source", "criterion", "value", "rev")
    insert_rows(stack, "scores", [{**head, **dict(zip(names, row, strict=True)), "at": NOW} for row in rows])
    found = [(it["source"], it["criterion"], it["value"]) for it in scores_of(people.viewer, "stored")]
    assert found == [
        ("human", "overall", 0.75),
        ("model", "answered", 0.1),
        ("rule", "cheap", None),
        ("rule", "total", 0.9),
    ]
    answer = people.viewer.sql("SELECT criterion, value FROM scores WHERE source = 'rule' ORDER BY criterion")
    assert answer.json()["rows"] == [["cheap", None], ["total", 0.9]]


def test_another_tenants_trace_is_not_there(stack: StackSettings, people: People) -> None:
    write_run(stack, people.tenant_id, "mine")
    for method, path, body in (
        ("GET", "/v1/traces/mine/scores", None),
        ("POST", "/v1/traces/mine/scores", {"value": 1}),
    ):
        foreign = people.stranger.send(method, path, body)
        absent = people.stranger.send(method, path.replace("mine", "nobody"), body)
        assert foreign.status_code == absent.status_code == 404
        assert foreign.text.replace("mine", "nobody") == absent.text
    assert people.viewer.send("POST", "/v1/traces/mine/scores", {"value": 1}).status_code == 403
    assert scores_of(people.viewer, "mine") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"comment": "  "}, "body"),
        ({"value": 1.1}, "body.value"),
        ({"value": -0.1}, "body.value"),
        ({"value": "high"}, "body.value"),
        ({"value": 1, "criterion": "Über alles"}, "body.criterion"),
        ({"value": 1, "by": "me"}, "body.by"),
        ({"comment": "a\u0000b"}, "body.comment"),
        ({"comment": "x" * (MAX_COMMENT_CHARS + 1)}, "body.comment"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(people: People, body: dict[str, Any], field: str) -> None:
    answer = people.operator.send("POST", "/v1/traces/any/scores", body)
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == [field]


@pytest.fixture(scope="module")
def model() -> Iterator[MessagesServer]:
    """A model that does as it is told."""
    with messages_server() as server:
        yield server


@pytest.fixture(scope="module")
def judged(stack: StackSettings, written_rules: None, model: MessagesServer) -> Iterator[People]:
    """People at an API with a model, over a database of its own."""
    with (
        own_database(stack) as database,
        served_tracy(stack, database, tracy_base_url=model.url) as http,
    ):
        yield people_of(http, lambda tenant_id, scope: new_key(stack, database, tenant_id, scope))


@pytest.fixture
def rubric(stack: StackSettings, judged: People) -> Iterator[Path]:
    """A rubric of the agent, where learner and API look for it."""
    path = stack.home / "config" / "rubrics" / judged.tenant_id / "agent.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RUBRIC)
    yield path
    path.unlink()
    path.parent.rmdir()


def test_a_model_judges_what_only_it_can(
    stack: StackSettings, judged: People, model: MessagesServer, rubric: Path
) -> None:
    write_run(stack, judged.tenant_id, "judged")
    write_card(stack, judged.tenant_id, "judged", name="<ask> DO", reply="It is done.", tools_used=["exec"])
    assert judged.viewer.get("/v1/traces/judged/scores").json()["has_questions"] is True
    model.requests.clear()
    reason = "It says so.\nAt length. " * 60
    model.behaviour = script(Say("", (("give_marks", {"answered": {"value": 0.5, "reason": reason}}),)))
    answer = judged.operator.send("POST", "/v1/traces/judged/scores/judge")
    assert answer.status_code == 201, answer.text
    (mark,) = answer.json()["items"]
    assert (mark["source"], mark["criterion"], mark["value"], mark["weight"]) == ("model", "answered", 0.5, 2)
    assert mark["comment"].startswith("It says so. At length. It")
    assert len(mark["comment"]) <= MAX_REASON_CHARS
    assert len(mark["rubric_version"]) == 12
    (asked,) = model.requests
    assert "Does the reply answer what was asked?" in model.bodies()
    assert asked["tools"][0]["input_schema"]["required"] == ["answered"]
    # What the run has written cannot close its frame.
    assert "<ask>" not in model.bodies()
    assert "It is done." in model.bodies()
    assert [entry["details"]["source"] for entry in judged.audited("score.give")] == ["model"]


@pytest.mark.parametrize(
    "reply",
    [
        Say("I would say 0.9."),
        Say("", (("give_marks", {"answered": {"value": 7, "reason": "!"}}),)),
        Say("", (("give_marks", {"answered": {"value": True, "reason": "!"}}),)),
        Say("", (("give_marks", {"other": {"value": 1, "reason": "!"}}),)),
        Say("", (("give_marks", {"answered": 1}),)),
        Fail(529, "overloaded_error"),
    ],
)
def test_a_model_that_gives_no_mark_scores_nothing(
    stack: StackSettings, judged: People, model: MessagesServer, rubric: Path, reply: Say | Fail
) -> None:
    write_run(stack, judged.tenant_id, "unmarked")
    write_card(stack, judged.tenant_id, "unmarked")
    model.behaviour = script(reply)
    answer = judged.operator.send("POST", "/v1/traces/unmarked/scores/judge")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert scores_of(judged.viewer, "unmarked") == []


def test_nothing_is_judged_without_questions_a_model_or_a_card(
    stack: StackSettings, judged: People, people: People, rubric: Path
) -> None:
    write_run(stack, judged.tenant_id, "running")
    path = "/v1/traces/running/scores/judge"
    assert judged.operator.send("POST", path).status_code == 404
    assert judged.stranger.send("POST", path).status_code == 404
    assert judged.viewer.send("POST", path).status_code == 403
    rubric.write_text(RUBRIC.split('[[criterion]]\nname = "answered"')[0])
    refused = judged.operator.send("POST", path)
    assert (refused.status_code, "no criterion of the kind judge" in refused.text) == (409, True)
    without = people.operator.send("POST", path)
    assert (without.status_code, "CLAWTRACE_TRACY_API_KEY" in without.text) == (409, True)


@pytest.fixture(scope="module")
def labelled(stack: StackSettings, judged: People) -> People:
    """Twelve runs with a skill and twelve with another: dearer, and under a label of its own too."""
    rows = []
    for number in range(24):
        is_new = number >= 12
        rows.append(
            {
                "tenant_id": judged.tenant_id,
                "agent_id": "agent",
                "trace_id": f"labelled{number}",
                "trace_date": (NOW - timedelta(days=number % 3)).date(),
                "task_id": "nightly" if number % 2 else "weekly",
                "status": "error" if is_new and number % 4 == 0 else "ok",
                "total_cost_usd": Decimal(40 if is_new else 10) + number % 5,
                "num_tool_calls": 9 if is_new else 4,
                "duration_ms": 1_000 + number,
                "labels": {"skill": "bbbb" if is_new else "aaaa", "variant": "b" if is_new else "a", "odd": "b"},
                "started_at": NOW,
            }
        )
    insert_rows(stack, "cards", rows)
    return judged


def test_versions_are_compared_within_their_tasks(labelled: People) -> None:
    answer = labelled.viewer.get("/v1/compare/labels", old="aaaa", new="bbbb")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["label"], found["verdict"], found["num_old"], found["num_new"]) == ("skill", "worse", 12, 12)
    assert found["tasks"] == ["nightly", "weekly"]
    cost, tools = found["measures"][0], found["measures"][2]
    assert (cost["measure"], cost["verdict"], cost["old"]["num_runs"]) == ("cost_usd", "worse", 12)
    assert Decimal(cost["low"]) < Decimal(cost["difference"]) < Decimal(cost["high"])
    assert 28 < Decimal(cost["difference"]) < 32
    assert (tools["difference"], tools["low"], tools["high"]) == ("5", "5", "5")
    assert (found["failures"]["old"]["num_failed"], found["failures"]["new"]["num_failed"]) == (0, 3)
    assert labelled.viewer.get("/v1/compare/labels", old="aaaa", new="bbbb").json() == found
    turned = labelled.viewer.get("/v1/compare/labels", old="bbbb", new="aaaa", task_id="nightly").json()
    assert (turned["verdict"], turned["num_old"], turned["tasks"]) == ("better", 6, ["nightly"])
    nothing = labelled.viewer.get("/v1/compare/labels", old="aaaa", new="bbbb", agent_id="other").json()
    assert (nothing["verdict"], nothing["num_old"]) == ("not_enough_runs", 0)
    strange = labelled.stranger.get("/v1/compare/labels", old="aaaa", new="bbbb").json()
    assert (strange["verdict"], strange["num_new"]) == ("not_enough_runs", 0)


def test_any_label_is_found_by_its_values(labelled: People) -> None:
    found = labelled.viewer.get("/v1/compare/labels", old="a", new="b", label="any").json()
    assert (found["label"], found["verdict"]) == ("variant", "worse")
    refused = labelled.viewer.get("/v1/compare/labels", old="a", new="c", label="any")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "query.label")
    same = labelled.viewer.get("/v1/compare/labels", old="a", new="a")
    assert (same.status_code, same.json()["errors"][0]["field"]) == (422, "query.new")


def test_a_score_and_what_is_to_be_sent_are_one_transaction(stack: StackSettings, people: People) -> None:
    write_run(stack, people.tenant_id, "sent")
    given = people.operator.send("POST", "/v1/traces/sent/scores", {"value": 1}).json()
    engine = make_engine(stack)
    with engine.connect() as connection:
        values = connection.scalars(
            sa.text("SELECT value FROM control.learner_outbox WHERE topic = 'clawtrace.scores.v1' ORDER BY id DESC")
        ).all()
    engine.dispose()
    assert sum(given["score_id"].encode() in bytes(value) for value in values) == 1
