"""The learner over a real broker and a real Postgres: killed, doubled, sent nonsense; and what people give it."""

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime.settings import StackSettings
from stream_jobs.contracts.score import Score, score_id_of
from stream_jobs.contracts.topics import CARDS
from stream_jobs.core.learn.dear_run import MIN_RUNS
from stream_jobs.learn.given import give_scores, recently_given
from tests.integration.stream_jobs.harness import DEADLINE_S, wait_until
from tests.integration.stream_jobs.learning import RUBRIC, TENANT, Learning

pytestmark = pytest.mark.kafka

AGENTS = ("laptop", "office", "server")


@pytest.fixture
def learning(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Learning]:
    """Topics and a database of the test's own, on a stack that runs already or on the tests' stack."""
    if home := os.environ.get("CLAWTRACE_TEST_HOME"):
        stack = StackSettings(home=Path(home), port_base=int(os.environ["CLAWTRACE_TEST_PORT_BASE"]))
    else:
        stack = request.getfixturevalue("stack")
    one = Learning(stack, tmp_path / "home")
    try:
        yield one
    finally:
        one.remove()


def by_hand(trace_id: str, value: float | None, comment: str = "") -> Score:
    return Score(
        tenant_id=TENANT,
        agent_id="laptop",
        trace_id=trace_id,
        trace_date="2026-11-23",
        score_id=score_id_of(TENANT, "laptop", trace_id, "human", "ada", "overall"),
        source="human",
        scorer="ada",
        criterion="overall",
        value=value,
        comment=comment,
        at_us=1,
        rev=0,
    )


def test_killed_again_and_again_it_tells_each_alert_and_score_once(learning: Learning) -> None:
    chooser = random.Random(1)
    num_kills, num_runs = 3, 0
    for agent_id in AGENTS:
        learning.write_rubric(agent_id)
    dear: set[str] = set()
    num_of: Counter[str] = Counter()
    process = learning.start()
    for _ in range(num_kills):
        # It stands by until the other is killed.
        successor = learning.start()
        before = learning.learned()
        for number in range(16):
            num_runs += 1
            agent_id = chooser.choice(AGENTS)
            is_dear = num_of[agent_id] >= MIN_RUNS and chooser.random() < 0.25
            num_of[agent_id] += 1
            usd = f"{1 if is_dear else 0.1 + chooser.random() / 20:.4f}"
            learning.card(f"t{num_runs}", usd, agent_id=agent_id, partition=AGENTS.index(agent_id))
            if is_dear:
                dear.add(f"t{num_runs}")
            if number == 6:
                learning.flush()
                wait_until(lambda before=before: learning.learned() != before, "it is at work", log=learning.log)
            elif number > 6:
                # One transaction each or so: the kill hits one before, in or after its commit, or while it sends.
                learning.flush()
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        learning.send_again(chooser.randrange(1, 10))
        process = successor
    learning.wait_learned()
    told = learning.alerts()
    assert Counter(it.trace_id for it in told if it.rule == "dear_run") == dict.fromkeys(dear, 1)
    assert len({it.alert_id for it in told}) == len(told)
    assert len(dear) > 3
    scores = learning.scores()
    assert len(scores) == len({it.score_id for it in scores}) == 3 * num_runs
    totals = {it.trace_id: it.value for it in scores if it.criterion == "total"}
    assert totals == {trace_id: 0.25 if trace_id in dear else 1.0 for trace_id in learning.ledger}


def test_a_card_that_comes_again_replaces_its_run_and_is_none_of_its_own(learning: Learning) -> None:
    learning.write_rubric("laptop")
    learning.start()
    for number in range(5):
        learning.card(f"t{number}", "0.10")
    # Below twice the median when it ends; a sub-agent that ends late makes it dear.
    learning.card("late", "0.15")
    learning.wait_learned()
    assert learning.alerts() == []
    learning.card("late", "0.90")
    learning.card("late", "0.95")
    learning.wait_learned()
    (alert,) = learning.alerts()
    assert (alert.rule, alert.trace_id, alert.severity) == ("dear_run", "late", "warning")
    assert {name: alert.evidence[name] for name in ("median_usd", "num_runs", "median_trace_id")} == {
        "median_usd": "0.1",
        "num_runs": "5",
        "median_trace_id": "t4",
    }
    # A card that changes no mark sends none; the reason of a mark counts as a part of it.
    marks = [(it.criterion, it.value) for it in learning.scores() if it.trace_id == "late"]
    assert marks[:3] == [("cheap", 1.0), ("ended", 1.0), ("total", 1.0)]
    assert marks[3:6] == [("cheap", 0.0), ("ended", 1.0), ("total", 0.25)]


def test_what_comes_long_after_its_run_is_remembered_and_is_no_news(learning: Learning) -> None:
    learning.write_rubric("laptop")
    learning.start()
    for number in range(5):
        learning.card(f"t{number}", "0.10")
    learning.age(days=3)
    learning.card("imported", "9")
    learning.age(days=100)
    learning.card("forgotten", "9")
    del learning.ledger["forgotten"]
    learning.age(days=-103)
    learning.card("now", "9")
    learning.wait_learned()
    assert [it.trace_id for it in learning.alerts()] == ["now"]
    assert {it.trace_id for it in learning.scores() if it.value == 0} == {"imported", "now"}
    assert learning.metric('clawtrace_learner_cards_total{outcome="too_old"}') == 1


def test_a_version_that_is_dearer_is_told_once_and_is_over_when_it_is_taken_back(learning: Learning) -> None:
    learning.start()
    for number in range(8):
        learning.card(f"old{number}", f"0.1{number}", labels={"skill": "aaaaaaaaaaaa"})
    for number in range(12):
        learning.card(f"new{number}", f"0.3{number % 10}", labels={"skill": "bbbbbbbbbbbb"})
    learning.wait_learned()
    (alert,) = [it for it in learning.alerts() if it.rule == "worse_version"]
    assert alert.state == "alert"
    assert alert.labels == {
        "task_id": "agent:main:cron:nightly",
        "label": "skill",
        "old_value": "aaaaaaaaaaaa",
        "new_value": "bbbbbbbbbbbb",
    }
    # At the first look: five runs are enough when none of them is cheaper than any before.
    assert (alert.trace_id, alert.evidence["num_new"]) == ("new4", "5")
    learning.card("back", "0.15", labels={"skill": "aaaaaaaaaaaa"})
    learning.card("back2", "0.15", labels={"skill": "aaaaaaaaaaaa"})
    learning.wait_learned()
    told = [it for it in learning.alerts() if it.rule == "worse_version"]
    assert [(it.alert_id, it.state) for it in told] == [(alert.alert_id, "alert"), (alert.alert_id, "ok")]


def test_scores_that_fall_are_told_and_a_broken_rubric_holds_as_it_was(learning: Learning) -> None:
    learning.write_rubric("laptop")
    learning.start()
    for number in range(20):
        learning.card(f"good{number}", "0.4")
    learning.wait_learned()
    learning.write_rubric("laptop", RUBRIC.replace("cost_at_most", "no_such_kind"))
    for number in range(10):
        learning.card(f"bad{number}", "0.6")
    learning.wait_learned()
    (alert,) = [it for it in learning.alerts() if it.rule == "score_regression"]
    assert (alert.state, alert.trace_id) == ("alert", "bad9")
    assert (alert.evidence["mean_old"], alert.evidence["mean_new"]) == ("1.0000", "0.2500")
    wait_until(lambda: learning.metric("clawtrace_learner_invalid_rubrics") == 1, "the fault is counted")
    learning.write_rubric("laptop", RUBRIC + "\n# the same, in other words\n")
    for number in range(10):
        learning.card(f"again{number}", "0.4")
    learning.wait_learned()
    told = [it.state for it in learning.alerts() if it.rule == "score_regression"]
    assert told == ["alert", "ok"]
    wait_until(lambda: learning.metric("clawtrace_learner_invalid_rubrics") == 0, "the fault is gone")


def test_what_people_give_is_sent_once_in_the_order_it_was_given(learning: Learning) -> None:
    given = [
        *give_scores(learning.engine, [by_hand("t1", 0.5)]),
        *give_scores(learning.engine, [by_hand("t1", 1.0, "!")]),
    ]
    assert [it.rev for it in given] == [1, 2]
    learning.start()
    learning.card("t1", "0.1")
    learning.wait_learned()
    assert learning.scores() == given
    (newest,) = recently_given(learning.engine, TENANT, "laptop", "t1")
    assert newest == given[-1]
    assert recently_given(learning.engine, "othertenant", "laptop", "t1") == []


def test_what_cannot_be_read_is_passed_over_until_there_is_too_much_of_it(learning: Learning) -> None:
    process = learning.start()
    learning.card("t1", "0.1")
    for _ in range(5):
        learning.put(CARDS.name, 0, b'{"cards": 1}')
    learning.card("t2", "0.1")
    learning.wait_learned()
    for _ in range(6):
        learning.put(CARDS.name, 0, b"[" * 100_000)
    learning.flush()
    assert process.wait(DEADLINE_S) == 1
    assert "in a row cannot be read" in learning.log()
