"""When the learner's rules fire, and when they do not."""

import random

import pytest

from stream_jobs.core.learn import score_regression, worse_version
from stream_jobs.core.learn.dear_run import find_dear_run
from stream_jobs.core.learn.findings import LEARN_RULES, Finding
from stream_jobs.core.learn.guide import LEARN_GUIDES
from stream_jobs.core.learn.runs import Run
from tests.unit.stream_jobs.learn.runs_made import run, runs

OLD, NEW = {"skill": "aaaa"}, {"skill": "bbbb"}


def test_every_rule_has_a_guide() -> None:
    assert tuple(LEARN_GUIDES) == LEARN_RULES


def test_an_alerts_id_follows_from_what_it_is_about() -> None:
    one = Finding("dear_run", "t1", "alert", "said so")
    assert one.alert_id("acme01", "laptop") == Finding("dear_run", "t1", "ok", "or so").alert_id("acme01", "laptop")
    others = [("acme02", "laptop"), ("acme01", "office")]
    assert len({one.alert_id("acme01", "laptop"), *(one.alert_id(*it) for it in others)}) == 3
    assert one.alert_id("acme01", "laptop") != Finding("dear_run", "t2", "alert", "").alert_id("acme01", "laptop")


@pytest.mark.parametrize(
    ("usd", "costs", "fires"),
    [
        ("0.21", [0.1] * 5, True),
        # Twice is not more than twice.
        ("0.20", [0.1] * 5, False),
        ("0.90", [0.1] * 4, False),
        ("0.90", [0.1, 0.1, 0.5, 0.5, 0.5], False),
        (None, [0.1] * 5, False),
        # Free runs: any cost is more.
        ("0.01", [0.0] * 5, True),
        # Only the last fifty count.
        ("0.50", [9.0] * 30 + [0.1] * 50, True),
    ],
)
def test_a_dear_run(usd: str | None, costs: list[float], fires: bool) -> None:
    found = find_dear_run(run("t", usd), runs("e", costs))
    assert (found is not None) is fires
    assert found is None or found.severity == "warning"


def test_in_a_task_whose_runs_differ_a_dear_run_is_information() -> None:
    found = find_dear_run(run("t", "0.9"), runs("e", [0.1, 0.1, 0.1, 0.2, 2.0]))
    assert found is not None
    assert (found.severity, found.evidence["num_dearer"]) == ("info", "1")


def test_a_dear_run_names_a_run_that_has_cost_the_median() -> None:
    earlier = [*runs("e", [0.5, 0.1, 0.3, 0.2]), run("unpriced", None), *runs("f", [0.4, 0.25])]
    found = find_dear_run(run("t", "1.2"), earlier)
    assert found is not None
    # Of six the middle lies between 0.25 and 0.3: the lower of the two has really run.
    assert found.evidence["median_trace_id"] == "f1"
    assert (found.evidence["median_usd"], found.evidence["num_runs"]) == ("0.275", "6")
    assert found.trace_id == "t"


def versions(old: list[float], new: list[float], **more: object) -> list[Run]:
    return [*runs("o", old, labels=OLD), *runs("n", new, labels=NEW, **more)]


def test_a_dearer_version_is_found_at_the_first_look() -> None:
    rising = [0.11, 0.12, 0.13, 0.14, 0.15]
    found = worse_version.find_worse_version(versions([0.1] * 5, rising), "skill")
    assert found is not None
    assert found.evidence["p_cost"] == "0.003968"
    assert worse_version.find_worse_version(versions([0.1] * 5, rising[:4]), "skill") is None
    assert worse_version.find_worse_version(versions([0.1] * 4, rising), "skill") is None
    assert worse_version.find_worse_version(versions([0.1] * 5, [*rising, 0.16]), "skill") is None
    assert worse_version.find_worse_version(versions([0.1] * 5, rising), "config") is None
    # Dearer for sure, but hardly.
    assert worse_version.find_worse_version(versions([0.1] * 5, [0.101] * 5), "skill") is None
    # Cheaper.
    assert worse_version.find_worse_version(versions(rising, [0.1] * 5), "skill") is None


def test_a_failing_version_is_found_whatever_it_costs() -> None:
    found = worse_version.find_worse_version(versions([0.1] * 20, [0.01] * 5, status="error"), "skill")
    assert found is not None
    assert "fail 5 of 5 times instead of 0 of 20" in found.message
    assert "cost" not in found.message


def test_what_came_before_the_version_before_does_not_count() -> None:
    long_ago = runs("x", [0.01] * 30, labels={"skill": "zzzz"})
    assert worse_version.find_worse_version([*long_ago, *versions([0.3] * 5, [0.3] * 5)], "skill") is None
    # Runs without the label are passed over.
    mixed = [*versions([0.1] * 5, [0.3] * 4), run("nameless", "9"), run("n9", "0.3", labels=NEW)]
    assert worse_version.find_worse_version(mixed, "skill") is not None


def test_equal_versions_are_seldom_called_worse() -> None:
    rng, num_false, num_tries = random.Random(2), 0, 150
    for _ in range(num_tries):
        costs = [rng.lognormvariate(0, 1) for _ in range(60)]
        looks = [versions(costs[:20], costs[20 : 20 + num]) for num in worse_version.LOOKS]
        num_false += any(worse_version.find_worse_version(it, "skill") is not None for it in looks)
    assert num_false / num_tries <= 1 - worse_version.CONFIDENCE


def test_a_version_is_gone_with_the_first_run_of_another() -> None:
    told = worse_version.find_worse_version(versions([0.1] * 5, [0.3] * 5), "skill")
    assert told is not None
    over = worse_version.find_version_gone(run("t", labels=OLD), told)
    assert over is not None
    assert (over.state, over.alert_id("a", "b")) == ("ok", told.alert_id("a", "b"))
    assert worse_version.find_version_gone(run("t", labels=NEW), told) is None
    assert worse_version.find_version_gone(run("t"), told) is None
    assert worse_version.find_version_gone(run("t", labels=OLD, task_id="other"), told) is None


def scored(scores: list[float]) -> list[Run]:
    return [run(f"s{number}", score=score, rubric_version="v1") for number, score in enumerate(scores)]


def look(scores: list[float], told: Finding | None = None, num_scored: int | None = None) -> Finding | None:
    return score_regression.find_score_regression(scored(scores), num_scored or len(scores), "coder", told)


def test_scores_that_fall() -> None:
    good, bad = [1.0, 0.8] * 5, [0.4, 0.5] * 5
    fallen = look([*good, *good, *bad])
    assert fallen is not None
    assert (fallen.state, fallen.evidence["mean_new"]) == ("alert", "0.4500")
    assert look([*good, *bad[:9]]) is None
    assert look([*good, *bad], num_scored=21) is None
    assert look([*bad, *good]) is None
    # Lower for sure, but hardly.
    assert look([1.0] * 20 + [0.96] * 10) is None
    # While it lasts it is not told again, and half of the fall must be won back.
    assert look([*good, *bad, *bad], fallen) is None
    assert look([*good, *bad, *[0.65] * 10], fallen) is None
    over = look([*good, *bad, *good], fallen)
    assert over is not None
    assert (over.state, over.about) == ("ok", fallen.about)


def test_scores_that_only_differ_are_seldom_called_lower() -> None:
    rng, num_false, num_tries = random.Random(4), 0, 400
    for _ in range(num_tries):
        num_false += look([round(rng.random(), 1) for _ in range(60)]) is not None
    assert num_false / num_tries <= 2 * (1 - score_regression.CONFIDENCE)
