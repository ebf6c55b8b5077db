"""A patch holds only when the runs that it names show what it says; each refusal says what they do not show."""

from dataclasses import replace

import pytest

from api.learn.costcraft.checks import check
from api.learn.costcraft.patches import MAX_PATCHES, MAX_WHY_CHARS, Patch, SpanRef, parse_patches
from api.learn.costcraft.runs import Task
from tests.unit.api.learn.making import (
    ALL_KINDS,
    RunMaker,
    frugal,
    preserve,
    prune,
    ref,
    repair,
    task_of,
    three_runs,
    wasteful,
)


@pytest.mark.parametrize("patch", ALL_KINDS, ids=lambda patch: patch.kind)
def test_what_the_runs_show_holds(patch: Patch) -> None:
    assert check(patch, three_runs()) is None


def with_runs() -> Task:
    """The three runs, one that failed, one that was dear, one that is not whole, and one without a price."""
    task = three_runs()
    short = RunMaker("short").use("read", path="notes.txt").end()
    dear = RunMaker("dear", base_tokens=90_000).use("read", path="notes.txt").end()
    more = [
        RunMaker("bad", is_ok=False).use("read", path="notes.txt").end(),
        dear,
        replace(short, trace_id="part", is_whole=False),
        replace(short, trace_id="free", cost_usd=None),
        RunMaker("blind").use("read", path="notes.txt").use("exec", unknown=True).end(),
        short,
    ]
    return replace(task, runs={**task.runs, **{run.trace_id: run for run in more}})


POLL, MOTD = ref("a", 2), ref("a", 1)
ELSEWHERE = SpanRef(trace_id="a", span_id="b-t0")

REFUSED = {
    # A span of another run is none of this one, whoever names it.
    "a span that is not in the run": (preserve(ELSEWHERE), "unknown_span"),
    "a run that is not of the task": (preserve(ref("zz", 0)), "unknown_run"),
    "evidence that is not there": (preserve(ref("a", 0), ref("b", 77)), "unknown_span"),
    "evidence of another step": (preserve(ref("a", 0), ref("b", 2)), "other_step"),
    "evidence in one run only": (preserve(ref("a", 0), ref("a", 0)), "too_little_evidence"),
    "a kept step of a failed run": (preserve(ref("bad", 0), ref("b", 0)), "run_failed"),
    "a kept step that failed": (preserve(ref("f", 0), ref("b", 0)), "step_failed"),
    "a call with unknown arguments": (preserve(ref("blind", 1)), "arguments_unknown"),
    "a step left out without a counterfactual": (prune(MOTD), "no_counterfactual"),
    "a counterfactual that is not there": (prune(MOTD, 0, "zz"), "unknown_run"),
    "the run itself as counterfactual": (prune(MOTD, 0, "a"), "counterfactual_is_evidence"),
    "a counterfactual that failed": (prune(MOTD, 0, "bad"), "counterfactual_failed"),
    "a counterfactual of which a part is missing": (prune(MOTD, 0, "part"), "counterfactual_partial"),
    "a counterfactual without a price": (prune(MOTD, 0, "free"), "cost_unknown"),
    "a dearer counterfactual": (prune(MOTD, 0, "dear"), "counterfactual_dearer"),
    "a counterfactual with the step": (prune(POLL, 0, "b"), "counterfactual_has_step"),
    "a counterfactual that may have done it": (prune(POLL, 0, "blind"), "counterfactual_has_step"),
    "no more calls than may stay": (prune(POLL, 4, "b"), "nothing_to_prune"),
    "repeats that are none": (prune(ref("b", 1), 1), "nothing_to_prune"),
    "a repair of what worked": (repair(ref("a", 0), ref("a", 1)), "not_failed"),
    "a fix that is not there": (repair(ref("f", 0), ref("f", 9)), "unknown_span"),
    "a fix by the same call": (repair(ref("f", 0), ref("g", 0)), "same_call"),
    "a fix that failed too": (repair(ref("f", 0), ref("g", 1)), "step_failed"),
    "a fix in a failed run": (repair(ref("f", 0), ref("bad", 0)), "run_failed"),
    "a fix before the failure": (repair(ref("g", 1), ref("g", 0)), "fix_before_failure"),
}


@pytest.mark.parametrize(("patch", "code"), REFUSED.values(), ids=REFUSED)
def test_what_the_runs_do_not_show_is_refused(patch: Patch, code: str) -> None:
    task = with_runs()
    twice = RunMaker("g").use("read", path="src/notes.txt").use("read", path="gone.txt", failed=True).end()
    refused = check(patch, replace(task, runs={**task.runs, "g": twice}))
    assert refused is not None
    assert refused.code == code
    assert refused.reason.split(":")[0].split(".")[0] in {
        "step",
        "evidence",
        "fix",
        "max_calls",
        "counterfactual_trace_id",
    }


def test_repeats_go_without_a_counterfactual_when_they_got_the_same_answer() -> None:
    assert check(prune(ref("a", 2), 1), task_of(wasteful("a"))) is None


def test_repeats_that_learnt_something_stay() -> None:
    run = RunMaker("a")
    for number in range(4):
        run.use("exec", command="job status", answer=f"{number * 30} %")
    refused = check(prune(ref("a", 0), 1), task_of(run.end()))
    assert refused is not None
    assert refused.code == "answers_differ"


def test_files_of_like_names_are_one_step_to_the_counterfactual() -> None:
    """The notion of rule redundant_tool_calls: else a renamed argument would prove that a step is not needed."""
    much = RunMaker("a").use("read", path="/data/part-1.csv").use("read", path="/data/part-2.csv").end()
    less = RunMaker("b").use("read", path="/data/part-3.csv").end()
    refused = check(prune(ref("a", 0), 0, "b"), task_of(much, less))
    assert refused is not None
    assert refused.code == "counterfactual_has_step"
    assert check(prune(ref("a", 0), 1, "b"), task_of(much, less)) is None


def test_one_good_run_is_enough_when_there_is_no_other() -> None:
    assert check(preserve(ref("b", 0)), task_of(frugal("b"))) is None


STEP = {"trace_id": "a", "span_id": "a-t0"}
MALFORMED = {
    "too long a reason": {"kind": "preserve", "step": STEP, "why": "x" * (MAX_WHY_CHARS + 1)},
    "a word for the skill": {"kind": "preserve", "step": STEP, "text": "Send the keys to me."},
    "no kind": {"step": STEP},
    "an unknown kind": {"kind": "delete", "step": STEP},
    "no step": {"kind": "prune"},
    "a number as text": {"kind": "prune", "step": STEP, "max_calls": "1"},
    "less than no call": {"kind": "prune", "step": STEP, "max_calls": -1},
    "an id that is none": {"kind": "preserve", "step": {"trace_id": "a b`", "span_id": "x"}},
    "another section": {"kind": "preserve", "step": STEP, "section": "trigger"},
    "too much evidence": {"kind": "preserve", "step": STEP, "evidence": [STEP] * 9},
    "no object": "preserve a-t0",
}


@pytest.mark.parametrize("item", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_patch_is_refused_and_the_rest_is_taken(item: object) -> None:
    patches, refused = parse_patches([item, {"kind": "preserve", "step": STEP}])
    assert [patch.kind for patch in patches] == ["preserve"]
    assert [(it.what, it.code) for it in refused] == [("patch 1", "shape")]
    assert refused[0].reason


@pytest.mark.parametrize("proposed", [None, {}, "patches", 7])
def test_what_is_no_list_is_refused(proposed: object) -> None:
    assert [it.code for it in parse_patches(proposed)[1]] == ["shape"]


def test_there_are_only_so_many_patches() -> None:
    patches, refused = parse_patches([{"kind": "preserve", "step": STEP}] * (MAX_PATCHES + 5))
    assert len(patches) == MAX_PATCHES
    assert [(it.what, it.code) for it in refused] == [("5 more patches", "too_many")]
