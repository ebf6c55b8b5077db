"""Reads the runs of one task: cards, and the steps of each.

Upstream: api/repositories, as the tenant who asks.
Downstream: api/learn/costcraft, api/learn/prompt.py.
Guarantee: at most ``MAX_RUNS`` runs, the newest, and ``MAX_STEPS`` steps of each; a run that has more is not whole.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from api.kit.instants import to_us
from api.learn.costcraft.runs import ModelCall, Task, TaskRun, ToolStep
from api.repositories.scope import Scope
from api.repositories.traces import place_of
from api.schemas.card import TraceCard
from api.services import Services
from producers.contracts.pricing.book import PriceBook
from producers.contracts.pricing.price import MTOK
from stream_jobs.likeness import answer_text, asked_text, digest_of

MAX_RUNS: Final = 20
MAX_STEPS: Final = 1_000
_MAX_CHARS: Final = 20_000
_AT_ONCE: Final = 3
_BAD: Final = frozenset({"error", "blocked", "incomplete"})


@dataclass(frozen=True, slots=True)
class Answered:
    """What a tool call asked and answered, as it was recorded; for the model, when it may read that."""

    asked: str
    answered: str


@dataclass(slots=True)
class ReadTask:
    """A task while it is read."""

    task: Task
    cards: dict[str, TraceCard] = field(default_factory=dict)
    payloads: dict[tuple[str, str], Answered] = field(default_factory=dict)


class NoRuns(Exception):
    """There is nothing to learn from; the text says what was looked for."""


class TaskReader:
    """Reads as one tenant."""

    def __init__(self, services: Services, scope: Scope) -> None:
        self._services = services
        self._scope = scope

    async def read(
        self, agent_id: str, task_id: str | None, num_days: int
    ) -> AsyncGenerator[tuple[int, int] | ReadTask]:
        """Yield how many runs of how many are read, then the task.

        Raises:
            NoRuns: the agent has no finished run of such a task in so many days.
        """
        today = datetime.now(UTC).date()
        days = (today - timedelta(days=num_days), today + timedelta(days=1))
        asked_for = f"task {task_id}" if task_id else "any task"
        task_id = task_id or await self._services.cards.find_dearest_task(self._scope, agent_id, days)
        rows = await self._list(agent_id, task_id, days) if task_id else []
        if not rows or task_id is None:
            raise NoRuns(f"the agent {agent_id} has no finished run of {asked_for} in the last {num_days} days")
        book = await self._services.prices.read_book(self._scope)
        found = ReadTask(Task(agent_id=agent_id, task_id=task_id))
        runs: dict[str, TaskRun] = {}
        for start in range(0, len(rows), _AT_ONCE):
            yield start, len(rows)
            part = rows[start : start + _AT_ONCE]
            for row, run in zip(
                part, await asyncio.gather(*(self._run(row, book, found) for row in part)), strict=True
            ):
                runs[run.trace_id] = run
                found.cards[run.trace_id] = TraceCard.from_row(row)
        yield len(rows), len(rows)
        found.task = Task(agent_id=agent_id, task_id=task_id, name=rows[0]["name"], runs=runs)
        yield found

    async def _list(self, agent_id: str, task_id: str, days: tuple[date, date]) -> list[dict[str, Any]]:
        return await self._services.cards.list_of_task(self._scope, agent_id, task_id, days, limit=MAX_RUNS)

    async def _run(self, row: Mapping[str, Any], book: PriceBook, found: ReadTask) -> TaskRun:
        place = place_of(dict(row))
        spans = await self._services.spans.list_steps(self._scope, place, limit=MAX_STEPS, max_chars=_MAX_CHARS)
        steps: list[ToolStep] = []
        calls: list[ModelCall] = []
        for span in spans.as_dicts():
            if span["kind"] == "model_call":
                calls.append(call_of(span, self._scope.tenant_id, book))
                continue
            steps.append(step_of(span))
            payload = Answered(span["input"] or "", answer_text(span["output"]))
            found.payloads[place.trace_id, span["span_id"]] = payload
        return TaskRun(
            trace_id=place.trace_id,
            is_ok=row["status"] == "ok",
            is_whole=not spans.truncated,
            cost_usd=row["total_cost_usd"],
            num_tool_calls=row["num_tool_calls"],
            num_model_calls=row["num_model_calls"],
            steps=tuple(steps),
            calls=tuple(calls),
        )


def step_of(span: Mapping[str, Any]) -> ToolStep:
    """Make a step from the row of a tool call."""
    answered = answer_text(span["output"])
    return ToolStep(
        span_id=span["span_id"],
        run_id=span["run_id"] or "",
        tool_name=span["tool_name"] or "",
        asked=asked_text(span["input"]),
        shown=span["input"] or "",
        answered=digest_of(answered) if answered else "",
        is_failed=span["status"] in _BAD or bool(span["exit_code"]),
        started_at_us=to_us(span["started_at"]),
        ancestors=frozenset(span["path"] or ()),
    )


def call_of(span: Mapping[str, Any], tenant_id: str, book: PriceBook) -> ModelCall:
    """Make a model call from its row; what is not priced any more has no parts."""
    at_us = to_us(span["started_at"])
    prompt_tokens = sum(span[name] or 0 for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens"))
    cost_usd: Decimal | None = span["cost_usd"]
    price = book.find_price(tenant_id, span["provider"] or "", span["model"] or "", at_us)
    prompt_usd = cached_token_usd = None
    if price is not None and cost_usd is not None:
        output_usd = price.output.at(prompt_tokens) * (span["output_tokens"] or 0) / MTOK
        # What was paid counts; today's price only says how it is divided.
        prompt_usd = max(Decimal(0), cost_usd - output_usd)
        cached_token_usd = price.cache_read.at(prompt_tokens) / MTOK
    return ModelCall(
        span_id=span["span_id"],
        run_id=span["run_id"] or "",
        started_at_us=at_us,
        prompt_tokens=prompt_tokens,
        cost_usd=cost_usd,
        prompt_usd=prompt_usd,
        cached_token_usd=cached_token_usd,
        ancestors=frozenset(span["path"] or ()),
    )
