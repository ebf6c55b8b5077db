"""CostCraft over captured OpenClaw runs: the cards and spans that the stitcher makes of them, read as from tables."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from api.learn.costcraft.craft import craft
from api.learn.costcraft.evident import evident_patches
from api.learn.costcraft.patches import Patch, Prune, SpanRef
from api.learn.costcraft.runs import Task, TaskRun
from api.learn.costcraft.saving import removed_by, saving_of
from api.learn.costcraft.skill_file import read_skill
from api.learn.costcraft.tokens import MAX_SKILL_TOKENS
from api.learn.reading import call_of, step_of
from tests.captures import SCENARIOS
from tests.unit.api.learn.making import prune, repair
from tests.unit.stream_jobs.core.stitching import PRICES, replay

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def runs_of(scenario: str) -> list[TaskRun]:
    stitched = replay(scenario)
    found = []
    for card in stitched.cards.values():
        spans = [it for it in stitched.spans.values() if it.trace_id == card.trace_id]
        rows = [
            {**msgspec.structs.asdict(it), "started_at": _EPOCH + timedelta(microseconds=it.started_at_us)}
            for it in sorted(spans, key=lambda it: (it.started_at_us, it.depth, it.span_id))
        ]
        found.append(
            TaskRun(
                trace_id=card.trace_id,
                is_ok=card.status == "ok",
                cost_usd=card.total_cost_usd,
                num_tool_calls=card.num_tool_calls,
                num_model_calls=card.num_model_calls,
                steps=tuple(step_of(row) for row in rows if row["kind"] == "tool_call"),
                calls=tuple(call_of(row, card.tenant_id, PRICES) for row in rows if row["kind"] == "model_call"),
            )
        )
    return found


def task_of(*runs: TaskRun) -> Task:
    return Task(agent_id="box-1", task_id="agent:main:probe", name="probe", runs={run.trace_id: run for run in runs})


def first_of(run: TaskRun, tool: str) -> SpanRef:
    return SpanRef(trace_id=run.trace_id, span_id=next(it.span_id for it in run.steps if it.tool_name == tool))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_captured_run_gives_a_skill(scenario: str) -> None:
    runs = runs_of(scenario)
    task = task_of(*runs)
    patches = evident_patches(task)
    crafted = craft(task, patches)
    assert crafted.num_tokens < MAX_SKILL_TOKENS
    # What is refused of these is a repetition of something stronger, never an untruth.
    assert {it.code for it in crafted.refused} <= {"duplicate", "contradiction"}
    assert craft(task, reversed(patches), crafted.text).text == crafted.text
    saved = crafted.saving
    assert saved.num_tool_calls <= sum(run.num_tool_calls for run in runs)
    assert (saved.usd or Decimal(0)) <= sum((run.cost_usd or Decimal(0) for run in runs), Decimal(0))


def test_polling_is_stopped_and_the_saving_is_what_a_shorter_run_costs_less() -> None:
    (run,) = runs_of("runaway")
    task = task_of(run)
    (patch,) = [it for it in evident_patches(task) if isinstance(it, Prune)]
    assert (patch.max_calls, patch.counterfactual_trace_id) == (1, None)
    crafted = craft(task, [patch])
    assert '- Call `exec {"command": "echo poll"}` or the like at most once' in crafted.text
    assert crafted.saving.num_tool_calls == crafted.saving.num_model_calls == 11
    costs = [it.cost_usd for it in run.calls if it.cost_usd is not None]
    assert len(costs) == run.num_model_calls == 13
    assert crafted.saving.usd is not None
    # A run that polls once makes two model calls: this one's first two.
    less_usd = sum(costs[2:], Decimal(0))
    assert abs(crafted.saving.usd - less_usd) <= less_usd / 5


def test_another_captured_run_is_the_counterfactual_when_it_lacks_the_step() -> None:
    (dear,), (cheap,), (failed,) = runs_of("runaway"), runs_of("multi-tool"), runs_of("model-401")
    task = task_of(dear, cheap, failed)
    poll = first_of(dear, "exec")
    read = first_of(cheap, "read")

    def codes(*patches: Patch) -> list[str]:
        return [it.code for it in craft(task, patches).refused]

    assert codes(prune(poll, 0, cheap.trace_id)) == []
    assert codes(prune(poll, 0, failed.trace_id)) == ["counterfactual_failed"]
    assert codes(prune(read, 0, dear.trace_id)) == ["counterfactual_dearer"]
    assert codes(prune(poll)) == ["no_counterfactual"]
    assert codes(prune(SpanRef(trace_id=dear.trace_id, span_id=read.span_id), 0, cheap.trace_id)) == ["unknown_span"]
    saved = saving_of([removed_by(prune(poll, 0, cheap.trace_id), task)], task)
    assert (saved.num_tool_calls, saved.num_model_calls, saved.num_affected_runs) == (12, 12, 1)


def test_a_failed_call_is_mended_only_by_one_that_worked() -> None:
    (run,), (other,) = runs_of("tool-error"), runs_of("multi-tool")
    task = task_of(run, other)
    failed, worked = first_of(run, "read"), first_of(other, "read")
    crafted = craft(task, [repair(failed, worked), repair(failed, first_of(run, "exec"))])
    assert [it.code for it in crafted.refused] == ["step_failed"]
    (line,) = [it for it in read_skill(crafted.text).our_lines if it.tag.startswith("r")]
    assert line.text == (
        'Do not call `read {"path": "no-such-file.txt"}`, which fails: call `read {"path": "notes.txt"}`.'
    )
    # What the tool said of it is no part of the skill.
    assert "not found" not in crafted.text.lower()
