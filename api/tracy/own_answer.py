"""Answers an agent that asks about itself, without a model: fixed queries, plain sentences.

Upstream: POST /v1/evolve/ask when Tracy has no model.
Downstream: api/tracy/tools.py reads, api/tracy/writer.py checks and lets out.
Guarantee: the same checks as an answer of the model: each figure carries its SQL and was read twice.
"""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any, Final

from api.kit.sse import Event
from api.kit.values import decimal_text
from api.repositories.policies import PolicyRow
from api.repositories.questions import (
    alerts_question,
    cost_today_question,
    last_runs_question,
    left_today_question,
    repeats_question,
)
from api.tracy.citations import Known
from api.tracy.reader import Evidence
from api.tracy.sanitise import plain_label
from api.tracy.tools import Toolbox
from api.tracy.writer import Writer

# As many as own_answer asks; what a question to the model may ask is another matter.
NUM_QUERIES: Final = 6
_NUM_RUNS: Final = 3
_MAX_NAME_CHARS: Final = 60


async def own_answer(toolbox: Toolbox, agent_id: str) -> AsyncGenerator[Event]:
    """Yield the events of the answer: text, citations, done.

    Raises:
        TrinoAway, TooManyQueries, QueryTimeout, SqlError, DatabaseAway: a query gave nothing.
    """
    known = Known()
    writer = Writer(toolbox.book, known, as_links=False)
    open_alerts = alerts_question(open_only=True, agent_id=agent_id, limit=20)
    loops, today, runs, alerts, limits = await asyncio.gather(
        toolbox.read("repeated calls", repeats_question(_NUM_RUNS), with_payloads=True),
        toolbox.read("cost today", cost_today_question()),
        toolbox.read("last runs", last_runs_question(_NUM_RUNS)),
        toolbox.read("open alerts", open_alerts),
        toolbox.read_limits(),
    )
    for evidence in (loops, today, limits, runs, alerts):
        known.add_table(evidence.table)
    lines = [*_loops(loops), _today(today), await _budget(toolbox, limits), *_runs(runs), *_alerts(alerts)]
    await asyncio.gather(*(toolbox.book.reread(result_id) for result_id in toolbox.book.results))
    for line in lines:
        async for event in writer.write(line + "\n"):
            yield event
    yield (
        "done",
        {
            "stop": "end",
            "num_queries": len(toolbox.book.results),
            "num_withheld": writer.num_withheld,
            "tokens": {"input": 0, "cache_read": 0, "cache_write": 0, "output": 0},
            "cost_usd": "0",
        },
    )


def _loops(loops: Evidence) -> list[str]:
    if not loops.num_rows:
        return ["You are not looping: no run of today calls a tool again and again with the same input."]
    lines = ["You may be looping. Stop repeating these calls; use what they already gave you:"]
    for row in range(loops.num_rows):
        tool = _name(_cell(loops, row, "tool_name"))
        lines.append(
            f"- the tool {tool}, called {_cite(loops, row, 'num_calls')} times with the same input in "
            f"[this run](/traces/{_cell(loops, row, 'trace_id')}), {_cite(loops, row, 'num_errors')} of them failed"
        )
    return lines


def _today(today: Evidence) -> str:
    if not today.num_rows:
        return "Today (UTC) nothing of yours is recorded yet."
    cost = _cell(today, 0, "cost_usd")
    spent = f"spent {_money(today, 0, 'cost_usd')}" if cost is not None else "spent: not known"
    text = (
        f"Today (UTC): {spent}; runs: {_cite(today, 0, 'num_runs')}, "
        f"with errors: {_cite(today, 0, 'num_failed_runs')}; model calls: {_cite(today, 0, 'num_model_calls')}."
    )
    if _cell(today, 0, "num_unpriced_calls"):
        text += f" Calls without a known price, which are not in it: {_cite(today, 0, 'num_unpriced_calls')}."
    return text


async def _budget(toolbox: Toolbox, limits: Evidence) -> str:
    if not limits.num_rows:
        return "No limit is set for you."
    names = [name for name in PolicyRow.__dataclass_fields__ if name.endswith("_limit_usd")]
    said = [
        f"{_money(limits, 0, name)} per {name.removesuffix('_limit_usd').replace('agent_day', 'day')}"
        for name in names
        if _cell(limits, 0, name) is not None
    ]
    text = f"Your limits: {', '.join(said)}." if said else "No limit is set for you."
    day: Decimal | None = _cell(limits, 0, "agent_day_limit_usd")
    if day is not None:
        left = await toolbox.read("left today", left_today_question(day))
        text += f" Of the day's limit {_money(left, 0, 'left_usd')} is left."
    return text


def _runs(runs: Evidence) -> list[str]:
    if not runs.num_rows:
        return ["No run of yours is recorded in the last week."]
    lines = ["Your last runs:"]
    for row in range(runs.num_rows):
        cost = _money(runs, row, "cost_usd") if _cell(runs, row, "cost_usd") is not None else "cost unknown"
        link = f"[{_name(_cell(runs, row, 'name'))}](/traces/{_cell(runs, row, 'trace_id')})"
        lines.append(
            f"- {link}: {_cell(runs, row, 'status')}, {cost}, model calls: {_cite(runs, row, 'num_model_calls')}, "
            f"tool calls: {_cite(runs, row, 'num_tool_calls')}"
        )
    return lines


def _alerts(alerts: Evidence) -> list[str]:
    if not alerts.num_rows:
        return ["No alert about you is open."]
    lines = [f"Open alerts about you: [[{alerts.num_rows}|{alerts.result_id}.count]]."]
    for row in range(min(alerts.num_rows, _NUM_RUNS)):
        lines.append(f"- {_cell(alerts, row, 'severity')}: {_name(_cell(alerts, row, 'message'), 300)}")
    return lines


def _cell(evidence: Evidence, row: int, column: str) -> Any:
    return evidence.table.rows[row][evidence.table.columns.index(column)]


def _cite(evidence: Evidence, row: int, column: str) -> str:
    return f"[[{_cell(evidence, row, column)}|{evidence.result_id}.{row}.{column}]]"


def _money(evidence: Evidence, row: int, column: str) -> str:
    value: Decimal = _cell(evidence, row, column)
    rounded = value.quantize(Decimal("0.0001"))
    shown = decimal_text(rounded if rounded or not value else value)
    sign, digits = ("-", shown[1:]) if shown.startswith("-") else ("", shown)
    return f"[[{sign}${digits}|{evidence.result_id}.{row}.{column}]]"


def _name(text: object, max_chars: int = _MAX_NAME_CHARS) -> str:
    return plain_label(str(text or ""), max_chars) or "unnamed"
