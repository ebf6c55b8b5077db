"""The tools: the same six for Tracy, for MCP clients and for agents that ask about themselves.

Upstream: api/tracy/answer.py and api/mcp/server.py call them by name with arguments of a model.
Downstream: api/tracy/reader.py, api/repositories/policies.py.
Guarantee: no argument names a tenant; arguments that make no sense, and queries that fail, come back as a text that
says what to do instead, never as an exception of ours.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from jsonschema import Draft202012Validator

from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.policies import PoliciesRepository, PolicyRow
from api.repositories.questions import (
    BadId,
    alerts_question,
    card_question,
    cost_today_question,
    spans_question,
    trace_question,
)
from api.repositories.scope import Scope
from api.sqlguard.errors import SqlError
from api.tracy.citations import Table
from api.tracy.framing import frame_result
from api.tracy.lesson import schema_lesson, view_lesson
from api.tracy.reader import Evidence, EvidenceBook, Reader
from infra.runtime.database import DatabaseAway


class QueriesUsed(Exception):
    """The question has run as many queries as it may."""


NO_LIMITS: Final = "No budgets or limits are set. An operator sets them with: clawtrace guard set."


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool as models and MCP clients see it."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tool gave: a text for the model, and the results in it."""

    text: str
    evidence: list[Evidence] = field(default_factory=list)
    is_error: bool = False


def _schema(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TRACE_ID: Final = {"type": "string", "minLength": 1, "maxLength": 128, "description": "The trace."}

TOOLS: Final = (
    ToolSpec(
        "describe_schema",
        "Describe the tables that run_sql reads: columns, notes, example queries. Name one, or leave it out for all.",
        _schema([], table={"type": "string", "maxLength": 40, "description": "Name of one table."}),
    ),
    ToolSpec(
        "run_sql",
        "Run one SELECT in Trino SQL over agents, alerts, cards, edges, events, spans, tenants and traces. "
        "Let SQL compute sums, shares and differences, so that each number stands in a result.",
        _schema(
            ["sql"],
            sql={"type": "string", "minLength": 1, "maxLength": 20_000, "description": "The SELECT."},
            with_payloads={
                "type": "boolean",
                "description": "Allow the columns input, output and payload, long texts of agents and tools. Only when "
                "the user asked to see them.",
            },
        ),
    ),
    ToolSpec(
        "get_trace",
        "Read one run: its totals, and its dearest spans without payloads.",
        _schema(
            ["trace_id"],
            trace_id=_TRACE_ID,
            num_spans={"type": "integer", "minimum": 1, "maximum": 200, "description": "Spans to return; 40."},
        ),
    ),
    ToolSpec(
        "get_card",
        "Read the TraceCard of one finished run: what it cost and why, repeated calls, failed steps, sub-agents.",
        _schema(["trace_id"], trace_id=_TRACE_ID),
    ),
    ToolSpec(
        "list_alerts",
        "List alerts with their evidence, newest first.",
        _schema(
            [],
            open_only={"type": "boolean", "description": "Only those that are not over; true."},
            limit={"type": "integer", "minimum": 1, "maximum": 100, "description": "Alerts to return; 20."},
        ),
    ),
    ToolSpec("budget_status", "Tell the limits that are set for agents, and what was spent today.", _schema([])),
)


class Toolbox:
    """The tools of one caller, with the results of one question."""

    def __init__(
        self,
        scope: Scope,
        reader: Reader,
        policies: PoliciesRepository,
        *,
        max_rows: int,
        max_queries: int,
        payloads_allowed: bool = False,
    ) -> None:
        self._scope = scope
        self._reader = reader
        self._policies = policies
        self._max_rows = max_rows
        self._max_queries = max_queries
        self._payloads_allowed = payloads_allowed
        self.book = EvidenceBook()
        self._tools: Mapping[str, Callable[[dict[str, Any]], Awaitable[Outcome]]] = {
            "describe_schema": self._describe_schema,
            "run_sql": self._run_sql,
            "get_trace": self._get_trace,
            "get_card": self._get_card,
            "list_alerts": self._list_alerts,
            "budget_status": self._budget_status,
        }

    async def call(self, name: str, arguments: Any) -> Outcome:
        """Run one tool."""
        spec = next((tool for tool in TOOLS if tool.name == name), None)
        if spec is None:
            return _refusal(f"there is no tool {name[:60]}; use one of {', '.join(self._tools)}")
        if not _is_text(arguments):
            return _refusal("the arguments hold characters that are no text")
        wrong = next(iter(Draft202012Validator(spec.input_schema).iter_errors(arguments)), None)
        if wrong is not None:
            return _refusal(f"{'.'.join(map(str, wrong.absolute_path)) or 'arguments'}: {wrong.message[:200]}")
        try:
            return await self._tools[name](arguments)
        except SqlError as error:
            return _refusal(f"{error.code}: {error}")
        except (BadId, QueryTimeout, QueriesUsed) as error:
            return _refusal(str(error))
        except TooManyQueries as error:
            return _refusal(f"too busy: {error}")
        except (TrinoAway, DatabaseAway):
            return _refusal("the tables cannot be read now; tell the user to ask again in a minute")

    async def read(self, source: str, text: str, *, max_rows: int = 0, with_payloads: bool = False) -> Evidence:
        """Run one SELECT and keep the result.

        Raises:
            QueriesUsed: one more than this question may run.
        """
        self._check_queries()
        shown, types, table, again = await self._reader.read(
            text, max_rows or self._max_rows, with_payloads=with_payloads
        )
        return self.book.add(source, shown, types, table, again)

    async def read_limits(self) -> Evidence:
        """Read the limits of the agents and keep them as a result."""
        self._check_queries()
        table = await self._limits()
        return self.book.add(
            "limits set with clawtrace guard", "", ("varchar",) * len(table.columns), table, self._limits
        )

    def _check_queries(self) -> None:
        if len(self.book.results) >= self._max_queries:
            raise QueriesUsed(
                f"a question may run {self._max_queries} queries, and they are used; answer with what you have"
            )

    async def _describe_schema(self, arguments: dict[str, Any]) -> Outcome:
        name = arguments.get("table")
        lesson = schema_lesson() if not name else view_lesson(name)
        return Outcome(lesson) if lesson else _refusal("there is no such table; leave the name out to see all")

    async def _run_sql(self, arguments: dict[str, Any]) -> Outcome:
        wanted = bool(arguments.get("with_payloads"))
        if wanted and not self._payloads_allowed:
            return _refusal("payloads are off for this question; the user must allow them")
        evidence = await self.read("run_sql", arguments["sql"], with_payloads=wanted)
        return Outcome(frame_result(evidence, with_payloads=wanted), [evidence])

    async def _get_trace(self, arguments: dict[str, Any]) -> Outcome:
        trace = await self.read("get_trace", trace_question(arguments["trace_id"]))
        if not trace.table.rows:
            return Outcome(f"There is no trace of that id.\n{frame_result(trace)}", [trace])
        row = dict(zip(trace.table.columns, trace.table.rows[0], strict=True))
        assert isinstance(row["trace_date"], date)
        question = spans_question(row["trace_id"], row["trace_date"], row["agent_id"], arguments.get("num_spans", 40))
        spans = await self.read("get_trace", question)
        return Outcome(f"{frame_result(trace)}\n{frame_result(spans)}", [trace, spans])

    async def _get_card(self, arguments: dict[str, Any]) -> Outcome:
        card = await self.read("get_card", card_question(arguments["trace_id"]))
        text = frame_result(card)
        return Outcome(text if card.table.rows else f"That trace has no card, or is not closed yet.\n{text}", [card])

    async def _list_alerts(self, arguments: dict[str, Any]) -> Outcome:
        question = alerts_question(
            open_only=arguments.get("open_only", True),
            agent_id=self._reader.agent_id,
            limit=arguments.get("limit", 20),
        )
        alerts = await self.read("list_alerts", question)
        return Outcome(frame_result(alerts), [alerts])

    async def _budget_status(self, arguments: dict[str, Any]) -> Outcome:
        limits = await self.read_limits()
        spent = await self.read("budget_status", cost_today_question())
        head = "" if limits.table.rows else f"{NO_LIMITS}\n"
        return Outcome(f"{head}{frame_result(limits)}\n{frame_result(spent)}", [limits, spent])

    async def _limits(self) -> Table:
        rows = await self._policies.list_limits(self._scope, self._reader.agent_id)
        columns = tuple(PolicyRow.__dataclass_fields__)
        return Table(columns, tuple(tuple(getattr(row, name) for name in columns) for row in rows), {})


def _is_text(arguments: Any) -> bool:
    """Whether every text in the arguments can be sent to Trino: no NUL, no halves of pairs."""
    try:
        return b"\\u0000" not in json.dumps(arguments, ensure_ascii=False).encode()
    except (ValueError, TypeError):
        return False


def _refusal(text: str) -> Outcome:
    return Outcome(text, is_error=True)
