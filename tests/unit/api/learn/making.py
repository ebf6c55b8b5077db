"""Runs of a task made up for one question each, and runs as the stitcher makes them of captures."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

from api.learn.costcraft.patches import Patch, Preserve, Prune, Repair, SpanRef
from api.learn.costcraft.runs import ModelCall, Task, TaskRun, ToolStep
from stream_jobs.likeness import asked_text, digest_of

FRESH_USD = Decimal("0.000003")
CACHED_USD = Decimal("0.0000003")
OUTPUT_USD = Decimal("0.000015")


class RunMaker:
    """Makes a run call by call: each turn is a model call and one tool call, the last one answers."""

    def __init__(self, trace_id: str, *, is_ok: bool = True, base_tokens: int = 1_000) -> None:
        self._trace_id, self._is_ok = trace_id, is_ok
        self._cached, self._prompt = 0, base_tokens
        self._steps: list[ToolStep] = []
        self._calls: list[ModelCall] = []

    def use(
        self,
        tool: str,
        *,
        answer: str = "fine",
        failed: bool = False,
        result_tokens: int = 500,
        output_tokens: int = 40,
        unknown: bool = False,
        **asked: Any,
    ) -> "RunMaker":
        """Ask the model, and use the tool that it wants."""
        self._call(output_tokens)
        params = "" if unknown else json.dumps(asked)
        self._steps.append(
            ToolStep(
                span_id=f"{self._trace_id}-t{len(self._steps)}",
                run_id="r",
                tool_name=tool,
                asked=asked_text(params),
                shown=params,
                answered=digest_of(answer),
                is_failed=failed,
                started_at_us=self._calls[-1].started_at_us + 1,
            )
        )
        self._prompt += result_tokens + output_tokens
        return self

    def end(self, **changes: Any) -> TaskRun:
        """Let the model say the last word."""
        self._call(60)
        run = TaskRun(
            trace_id=self._trace_id,
            is_ok=self._is_ok,
            cost_usd=sum((it.cost_usd for it in self._calls if it.cost_usd is not None), Decimal(0)),
            num_tool_calls=len(self._steps),
            num_model_calls=len(self._calls),
            steps=tuple(self._steps),
            calls=tuple(self._calls),
        )
        return replace(run, **changes)

    def _call(self, output_tokens: int) -> None:
        prompt_usd = self._cached * CACHED_USD + (self._prompt - self._cached) * FRESH_USD
        self._calls.append(
            ModelCall(
                span_id=f"{self._trace_id}-m{len(self._calls)}",
                run_id="r",
                started_at_us=self._now_us(),
                prompt_tokens=self._prompt,
                cost_usd=prompt_usd + output_tokens * OUTPUT_USD,
                prompt_usd=prompt_usd,
                cached_token_usd=CACHED_USD,
            )
        )
        self._cached = self._prompt

    def _now_us(self) -> int:
        return 1_000_000 * (1 + len(self._calls))


def task_of(*runs: TaskRun, name: str = "Report on the notes") -> Task:
    """Make the task of these runs."""
    return Task(agent_id="box", task_id="agent:main:report", name=name, runs={run.trace_id: run for run in runs})


def ref(trace_id: str, number: int) -> SpanRef:
    """A tool call of a made run."""
    return SpanRef(trace_id=trace_id, span_id=f"{trace_id}-t{number}")


def preserve(first: SpanRef, *others: SpanRef, **more: Any) -> Preserve:
    return Preserve(kind="preserve", step=first, evidence=list(others), **more)


def prune(step: SpanRef, max_calls: int = 0, example: str | None = None, **more: Any) -> Prune:
    return Prune(kind="prune", step=step, max_calls=max_calls, counterfactual_trace_id=example, **more)


def repair(step: SpanRef, fix: SpanRef, **more: Any) -> Repair:
    return Repair(kind="repair", step=step, fix=fix, **more)


def wasteful(trace_id: str, num_polls: int = 4) -> TaskRun:
    """A run that asks the same again and again, and looks at a file that it does not need."""
    run = RunMaker(trace_id)
    run.use("read", path="notes.txt").use("read", path="/etc/motd-of-the-day", answer="hello")
    for _ in range(num_polls):
        run.use("exec", command="echo poll", answer="poll")
    return run.use("write", path="report.md").end()


def frugal(trace_id: str) -> TaskRun:
    """A run that does what is needed."""
    return (
        RunMaker(trace_id)
        .use("read", path="notes.txt")
        .use("exec", command="echo poll")
        .use("write", path="report.md")
        .end()
    )


def failing(trace_id: str) -> TaskRun:
    """A run that finds its file at the second place."""
    run = RunMaker(trace_id).use("read", path="src/notes.txt", failed=True, answer="File not found")
    return run.use("read", path="docs/notes.txt", answer="notes").use("write", path="report.md").end()


ALL_KINDS: list[Patch] = [
    preserve(ref("a", 0), ref("b", 0)),
    preserve(ref("a", 6), ref("b", 2), section="artifact_checklist"),
    prune(ref("a", 1), 0, "b"),
    prune(ref("a", 2), 1, "b"),
    repair(ref("f", 0), ref("f", 1)),
]


def three_runs() -> Task:
    """A wasteful run a, a frugal one b, and one that failed a step, f."""
    return task_of(wasteful("a"), frugal("b"), failing("f"))
