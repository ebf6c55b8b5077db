"""Rubrics: what is refused at the door, and what a card gets by each kind of criterion."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stream_jobs.contracts.card import Card, RedundantToolCalls
from stream_jobs.contracts.rubric import CRITERIA, InvalidRubric, parse_rubric
from stream_jobs.core.learn.scoring import mark_card
from stream_jobs.learn.rubric_files import RubricFiles, rubric_path

ONE = '[[criterion]]\nname = "cheap"\nkind = "cost_at_most"\nusd = "0.5"\n'


def card(**more: Any) -> Card:
    values: dict[str, Any] = {
        "tenant_id": "acme01",
        "agent_id": "laptop",
        "trace_id": "t1",
        "trace_date": "2026-11-23",
        "task_id": "nightly",
        "status": "ok",
        "total_cost_usd": Decimal("0.4"),
        "num_model_calls": 3,
        "num_tool_calls": 5,
        "duration_ms": 61_000,
        "tools_used": ["exec", "read"],
        "reply": "Done: 3 files changed.",
        "redundant_tool_calls": [RedundantToolCalls(tool_name="read", count=2)],
        "num_failed_steps": 1,
        "rev": 1,
    }
    return Card(**{**values, **more})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no criterion"),
        ("criterion = []", "at least|length"),
        ("[[criterion]]", "criterion 1: Object missing required field `kind`; there are cost_at_most"),
        ("nonsense", "no TOML"),
        (ONE.replace("cost_at_most", "cheapness"), r"criterion 1 \(cheap\), kind: .*cheapness.*there are"),
        (ONE.replace("usd", "eur"), r"criterion 1 \(cheap\): .*unknown field `eur`"),
        (ONE.replace('"0.5"', '"-1"'), r"criterion 1 \(cheap\): usd: give an amount above 0"),
        (ONE.replace('"0.5"', '"NaN"'), r"usd: give an amount above 0"),
        (ONE + "weight = 0\n", r"criterion 1 \(cheap\), weight"),
        (ONE + ONE, "two criteria have this name"),
        (ONE.replace("cheap", "total"), "name of the mean"),
        (ONE.replace("cheap", "Very cheap"), "use 1 to 64 small letters"),
        ("color = 1\n" + ONE, "unknown field `color`"),
        ('[[criterion]]\nname = "a"\nkind = "ended"\nstatuses = ["done"]', r"criterion 1 \(a\), statuses"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(InvalidRubric, match=words):
        parse_rubric(text)


def test_the_version_follows_from_what_it_says() -> None:
    version = parse_rubric(ONE).version
    assert parse_rubric("# a note\n" + ONE.replace("\n", "\n\n")).version == version
    assert parse_rubric(ONE.replace("0.5", "0.6")).version != version
    assert len(version) == 12


@pytest.mark.parametrize(
    ("criterion", "more", "value"),
    [
        ('kind = "cost_at_most"\nusd = "0.4"', {}, 1),
        ('kind = "cost_at_most"\nusd = "0.39"', {}, 0),
        ('kind = "cost_at_most"\nusd = "0.39"', {"total_cost_usd": None}, None),
        ('kind = "duration_at_most"\nseconds = 61', {}, 1),
        ('kind = "duration_at_most"\nseconds = 60.5', {}, 0),
        ('kind = "tool_calls_at_most"\ncount = 4', {}, 0),
        ('kind = "model_calls_at_most"\ncount = 3', {}, 1),
        ('kind = "failed_steps_at_most"', {}, 0),
        ('kind = "failed_steps_at_most"\ncount = 1', {}, 1),
        ('kind = "redundant_calls_at_most"', {}, 0),
        ('kind = "redundant_calls_at_most"', {"redundant_tool_calls": []}, 1),
        ('kind = "ended"', {}, 1),
        ('kind = "ended"', {"status": "error"}, 0),
        ('kind = "ended"\nstatuses = ["error", "blocked"]', {"status": "error"}, 1),
        ('kind = "tool_used"\ntool = "exec"', {}, 1),
        ('kind = "tool_used"\ntool = "write"', {}, 0),
        ('kind = "tool_used"\ntool = "write"\nused = false', {}, 1),
        ('kind = "reply_matches"\npattern = "done: ? FILES*"', {}, 1),
        ('kind = "reply_matches"\npattern = "done"', {}, 0),
    ],
)
def test_each_kind_of_criterion(criterion: str, more: dict[str, Any], value: float | None) -> None:
    mark, total = mark_card(parse_rubric(f'[[criterion]]\nname = "it"\n{criterion}'), card(**more))
    assert mark.value == total.value == value
    assert mark.why


def test_every_kind_that_is_a_rule_was_tried() -> None:
    tried = {"cost_at_most", "duration_at_most", "tool_calls_at_most", "model_calls_at_most", "failed_steps_at_most"}
    tried |= {"redundant_calls_at_most", "ended", "tool_used", "reply_matches"}
    assert {it.__struct_config__.tag for it in CRITERIA} == tried | {"judge"}


def test_the_total_is_the_mean_of_what_is_known() -> None:
    rubric = parse_rubric(
        ONE
        + 'weight = 9\n[[criterion]]\nname = "a"\nkind = "ended"\nweight = 3\n'
        + '[[criterion]]\nname = "b"\nkind = "failed_steps_at_most"\n'
        + '[[criterion]]\nname = "c"\nkind = "judge"\nquestion = "Is it good?"\nweight = 50\n'
    )
    marks = mark_card(rubric, card(total_cost_usd=None))
    assert [(it.criterion, it.value) for it in marks] == [("cheap", None), ("a", 1), ("b", 0), ("total", 0.75)]
    assert [it.name for it in rubric.questions] == ["c"]


def test_files_are_read_again_when_they_change_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    files, path = RubricFiles(tmp_path), rubric_path(tmp_path, "acme01", "laptop")
    assert files.find("acme01", "laptop") is None
    path.parent.mkdir(parents=True)
    path.write_text(ONE)
    first = files.find("acme01", "laptop")
    assert first is not None
    path.write_text("broken")
    assert (files.find("acme01", "laptop"), files.num_invalid) == (first, 1)
    path.write_text(ONE.replace("0.5", "0.75"))
    assert files.find("acme01", "laptop") != first
    assert files.num_invalid == 0
    path.unlink()
    assert files.find("acme01", "laptop") is None
    for tenant_id, agent_id in (("../acme01", "laptop"), ("acme01", "../laptop"), ("acme01", "a/b"), ("", "")):
        assert files.find(tenant_id, agent_id) is None
        with pytest.raises(InvalidRubric):
            rubric_path(tmp_path, tenant_id, agent_id)
