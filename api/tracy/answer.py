"""Answers one question: asks the model, runs the tools that it wants, lets out what is checked.

Upstream: api/routers/tracy.py and evolve.py.
Downstream: api/tracy/model.py, tools.py, writer.py.
Guarantee: ends with one `done` or one `error`, whatever the model does; the budget bounds queries, tokens, dollars
and time; nothing of the model's reaches a client but through the writer and the chart schema.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import structlog

from api.kit.instants import now_us
from api.kit.sse import Event, error_event
from api.kit.values import decimal_text
from api.metrics import TRACY_ANSWERS, TRACY_COST_USD, TRACY_SECONDS, TRACY_TOKENS
from api.tracy.budget import Budget
from api.tracy.charts import ChartRefused, make_option
from api.tracy.citations import Known
from api.tracy.framing import frame_text
from api.tracy.model import Model, ModelFailed, Reply, TokenUse, ToolCall
from api.tracy.prompt import CHART_TOOL, system_prompt, tool_definitions, user_message, with_cache_mark
from api.tracy.sanitise import strip_invisible
from api.tracy.settings import TracySettings
from api.tracy.tools import Outcome, Toolbox
from api.tracy.writer import Writer

_log = structlog.get_logger(__name__)

MAX_SHOWN_ARGUMENT_CHARS: Final = 4_000
_MAX_EMPTY_ROUNDS: Final = 3


_NO_TOKENS: Final = TokenUse()


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the model or of a tool, for the record of Tracy's own run."""

    kind: str
    name: str
    began_at_us: int
    ended_at_us: int
    use: TokenUse = _NO_TOKENS
    tool_use_id: str = ""
    is_error: bool = False


@dataclass(slots=True)
class Answer:
    """One question while it is answered, and what came of it."""

    question: str
    page: dict[str, str]
    history: list[dict[str, Any]]
    toolbox: Toolbox
    about_itself: bool = False
    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    text: str = ""
    failed: str | None = None
    cost_usd: Decimal | None = None


class Answerer:
    """Answers questions with one model."""

    def __init__(self, settings: TracySettings, model: Model) -> None:
        self._settings = settings
        self._model = model
        self._places = asyncio.Semaphore(settings.tracy_max_questions)

    async def run(self, answer: Answer) -> AsyncGenerator[Event]:
        """Yield the events of an answer; the last one is `done` or `error`."""
        known = Known()
        known.add_question(answer.question)
        known.add_names(datetime.now(UTC).date().isoformat())
        for value in answer.page.values():
            known.add_names(value)
        for message in answer.history:
            known.add_names(json.dumps(message["content"], ensure_ascii=False))
        # An agent reads the text itself: links to citations would only be noise to it.
        writer = Writer(answer.toolbox.book, known, as_links=not answer.about_itself)
        began_at_us = now_us()
        try:
            async with self._places:
                async for event in self._rounds(answer, writer, known):
                    answer.events.append(event)
                    yield event
        except ModelFailed as failure:
            answer.failed = failure.code
            yield self._failed(answer, failure.code, str(failure))
        except Exception as error:
            _log.error("tracy_crashed", exc_info=error)
            answer.failed = "internal"
            yield self._failed(answer, "internal", "The answer failed here, not with you; the log has the reason.")
        finally:
            answer.text = "".join(writer.shown)
            TRACY_SECONDS.observe((now_us() - began_at_us) / 1e6)
            TRACY_COST_USD.inc(float(answer.cost_usd or 0))

    def _failed(self, answer: Answer, code: str, message: str) -> Event:
        TRACY_ANSWERS.labels(code).inc()
        event = error_event(code, message)
        answer.events.append(event)
        return event

    async def _rounds(self, answer: Answer, writer: Writer, known: Known) -> AsyncGenerator[Event]:
        budget = Budget(self._settings)
        messages = [*answer.history, user_message(answer.question, answer.page)]
        system, tools = system_prompt(answer.about_itself), tool_definitions(not answer.about_itself)
        fixed_chars = len(system[0]["text"]) + len(json.dumps(tools))
        stop, num_empty = "end", 0
        while True:
            if (reason := budget.why_no_call(fixed_chars + len(json.dumps(messages, default=str)))) is not None:
                stop = "budget"
                yield "text", {"text": f"I stopped here: {reason}.\n"}
                writer.shown.append(f"I stopped here: {reason}.\n")
                break
            reply: Reply | None = None
            began_at_us = now_us()
            async for part in self._model.ask(system, tools, with_cache_mark(messages)):
                if isinstance(part, Reply):
                    reply = part
                    continue
                async for event in writer.write(part):
                    yield event
            async for event in writer.finish():
                yield event
            assert reply is not None, "a call ends with a reply or raises"
            budget.add(reply.use)
            for bucket, num_tokens in asdict(reply.use).items():
                TRACY_TOKENS.labels(bucket).inc(num_tokens)
            answer.cost_usd = budget.cost_usd
            answer.steps.append(Step("model", self._settings.tracy_model, began_at_us, now_us(), reply.use))
            if not reply.tool_calls:
                stop = {"max_tokens": "too-long", "refusal": "refused"}.get(reply.stop_reason, "end")
                break
            num_before = len(answer.toolbox.book.results)
            results: list[dict[str, Any]] = []
            for call in reply.tool_calls:
                async for event in self._use_tool(call, answer, writer, known, results):
                    yield event
            messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
            # A model that only repeats refused calls is ended; each round that gives a result counts anew.
            num_empty = num_empty + 1 if len(answer.toolbox.book.results) == num_before else 0
            if num_empty > _MAX_EMPTY_ROUNDS:
                stop = "budget"
                yield "text", {"text": "I stopped here: the last steps gave nothing new.\n"}
                break
        TRACY_ANSWERS.labels(stop).inc()
        yield "done", self._done(answer, writer, budget, stop)

    async def _use_tool(
        self,
        call: ToolCall,
        answer: Answer,
        writer: Writer,
        known: Known,
        results: list[dict[str, Any]],
    ) -> AsyncGenerator[Event]:
        yield (
            "tool_use",
            {"tool_use_id": call.tool_use_id, "name": strip_invisible(call.name)[:60], "input": _shown(call.arguments)},
        )
        began_at_us = now_us()
        chart: dict[str, Any] | None = None
        if call.name == CHART_TOOL:
            outcome, chart = await self._draw(call.arguments, answer, writer)
        elif call.arguments is None:
            outcome = Outcome("the arguments are no JSON object", is_error=True)
        else:
            outcome = await answer.toolbox.call(call.name, call.arguments)
            if call.name == "run_sql" and not outcome.is_error:
                known.add_sql(str(call.arguments.get("sql", "")))
        for evidence in outcome.evidence:
            known.add_table(evidence.table)
            known.add_sql(evidence.sql)
        answer.steps.append(
            Step(
                "tool",
                strip_invisible(call.name)[:60],
                began_at_us,
                now_us(),
                _NO_TOKENS,
                call.tool_use_id,
                outcome.is_error,
            )
        )
        text = frame_text("refusal", outcome.text) if outcome.is_error else outcome.text
        results.append(
            {
                "type": "tool_result",
                "tool_use_id": call.tool_use_id,
                "content": [{"type": "text", "text": text}],
                "is_error": outcome.is_error,
            }
        )
        yield (
            "tool_result",
            {
                "tool_use_id": call.tool_use_id,
                "is_error": outcome.is_error,
                "message": strip_invisible(outcome.text)[:500] if outcome.is_error else None,
                "results": [
                    {
                        "result": evidence.result_id,
                        "source": evidence.source,
                        "sql": evidence.sql or None,
                        "snapshots": dict(evidence.table.snapshots),
                        "columns": list(evidence.table.columns),
                        "row_count": evidence.num_rows,
                        "truncated": evidence.table.truncated,
                    }
                    for evidence in outcome.evidence
                ],
            },
        )
        if chart is not None:
            yield "chart", chart

    async def _draw(self, arguments: Any, answer: Answer, writer: Writer) -> tuple[Outcome, dict[str, Any] | None]:
        arguments = arguments or {}
        result_id, asked = str(arguments.get("result", "")), arguments.get("option")
        reread = await answer.toolbox.book.reread(result_id)
        evidence = answer.toolbox.book.results.get(result_id)
        if reread is None or evidence is None:
            return Outcome(f"there is no result {result_id[:20]}", is_error=True), None
        if reread.again is None:
            return Outcome("the result could not be read a second time, so it is not drawn", is_error=True), None
        if reread.again.rows != reread.first.rows and reread.again.snapshots == reread.first.snapshots:
            return Outcome("the same query gave other rows; order them by a unique key", is_error=True), None
        try:
            option = make_option(asked, reread.again, writer.clean_label)
        except ChartRefused as refusal:
            return Outcome(str(refusal), is_error=True), None
        chart = {
            "result": result_id,
            "sql": evidence.sql or None,
            "snapshots": dict(reread.again.snapshots),
            "option": option,
        }
        return Outcome("The chart is drawn."), chart

    def _done(self, answer: Answer, writer: Writer, budget: Budget, stop: str) -> dict[str, Any]:
        cost = budget.cost_usd
        return {
            "stop": stop,
            "num_queries": len(answer.toolbox.book.results),
            "num_withheld": writer.num_withheld,
            "tokens": {
                "input": budget.use.input,
                "cache_read": budget.use.cache_read,
                "cache_write": budget.use.cache_write,
                "output": budget.use.output,
            },
            "cost_usd": None if cost is None else decimal_text(cost),
        }


def _shown(arguments: Any) -> dict[str, Any]:
    """Return the arguments as a client may show them: short texts and numbers."""
    if not isinstance(arguments, dict):
        return {}
    return {
        strip_invisible(str(key))[:60]: strip_invisible(value if isinstance(value, str) else json.dumps(value))[
            :MAX_SHOWN_ARGUMENT_CHARS
        ]
        for key, value in list(arguments.items())[:10]
    }
