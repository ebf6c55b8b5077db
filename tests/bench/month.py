"""A month of agents' work as rows: what tests/bench/fill_lake.py puts into the tables.

Upstream: nothing; everything follows from the seed and the last instant.
Downstream: tests/bench/fill_lake.py.
Guarantee: the same seed and instant give the same rows. A trace is stored several times while it grows and many spans
twice, as the stitcher sends them, so that the views have to choose; tokens and cost of a trace are the sums over its
model calls.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from lakehouse.catalog.schema import arrow_schema
from lakehouse.contracts.tables import SPANS, TRACES, TableSpec

TENANT = "benchapi"
# One tenant has most of the rows, as the one whose lists are slow would; the others share its files' folders.
OTHER_TENANTS = tuple(f"benchapiother{number}" for number in range(1, 9))
SHARES = {TENANT: 0.8, **dict.fromkeys(OTHER_TENANTS, 0.2 / len(OTHER_TENANTS))}
NUM_AGENTS = 12
NUM_DAYS = 30
SPANS_A_TRACE = 50
LARGE_SPANS = 50_000
LARGE_TRACE = f"{0xB16:032x}"
MAX_DEPTH = 4
# Of the spans, those that were also stored while they still ran.
SHARE_TWICE = 0.7
# How often a trace was stored while it grew.
GROWTH_STEPS = 6
_WORDS = ("the", "agent", "reads", "a", "file", "then", "writes", "what", "it", "found", "and", "asks", "its", "model")
_US = 1_000_000


@dataclass
class Rows:
    """Rows of one table; what a row does not name is empty."""

    table: TableSpec
    rows: list[dict[str, Any]] = field(default_factory=list)

    def as_arrow(self) -> pa.Table:
        """Arrow table, sorted as the sink sorts."""
        schema = arrow_schema(self.table)
        named = {name for row in self.rows for name in row}
        arrays = []
        for column in schema:
            if column.name in named:
                empty = None if column.nullable else _empty(column.type)
                arrays.append(pa.array([row.get(column.name, empty) for row in self.rows], column.type))
            elif column.nullable:
                arrays.append(pa.nulls(len(self.rows), column.type))
            else:
                arrays.append(pa.array([_empty(column.type)] * len(self.rows), column.type))
        return pa.Table.from_arrays(arrays, schema=schema).sort_by([(name, "ascending") for name in self.table.sort])


def _empty(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return []
    if pa.types.is_map(kind):
        return {}
    return "" if pa.types.is_string(kind) else False if pa.types.is_boolean(kind) else 0


@dataclass
class Counts:
    """What was made of one tenant, to be compared with what the views say."""

    num_traces: int = 0
    num_spans: int = 0
    cost_usd: Decimal = Decimal(0)
    trace_rows: int = 0
    span_rows: int = 0


class Month:
    """Makes the rows of one tenant, the oldest first."""

    def __init__(self, tenant_id: str, seed: int) -> None:
        self._chance = random.Random(f"{seed}-{tenant_id}")
        self._tenant_id = tenant_id
        chance = self._chance
        self._payloads = [
            '{"text":"' + " ".join(chance.choices(_WORDS, k=chance.randrange(10, 120))) + '"}' for _ in range(400)
        ]
        self.counts = Counts()

    def add_traces(self, count: int, since: datetime, width: timedelta, traces: Rows, spans: Rows) -> None:
        """Add traces that start within ``width`` of ``since``."""
        for _ in range(count):
            at = since + timedelta(microseconds=self._chance.randrange(width // timedelta(microseconds=1)))
            self.add_trace(f"{self._chance.getrandbits(128):032x}", at, SPANS_A_TRACE, traces, spans)

    def add_trace(self, trace_id: str, at: datetime, num_spans: int, traces: Rows, spans: Rows) -> None:
        """Add one trace and its spans."""
        chance = self._chance
        base = {
            "tenant_id": self._tenant_id,
            "agent_id": f"agent-{chance.randrange(NUM_AGENTS)}",
            "trace_id": trace_id,
            "trace_date": at.date(),
        }
        whole: dict[str, Any] = base | {
            "name": " ".join(chance.choices(_WORDS, k=6)),
            "category": chance.choices(("work", "heartbeat", "memory"), (80, 15, 5))[0],
            "session_key": f"agent:main:chat-{chance.randrange(40)}",
            "openclaw_agent_id": "main",
            "started_at": at,
            "rev": chance.randrange(10**9),
        }
        growth_every = max(num_spans // GROWTH_STEPS, 1)
        before = len(spans.rows), len(traces.rows)
        for number, sums in enumerate(self._spans(base, at, num_spans, whole, spans), start=1):
            if number % growth_every == 0 and number < num_spans:
                running = {"ended_at": None, "duration_ms": None, "status": "running", "is_open": True}
                traces.rows.append(whole | sums | running | {"rev": whole["rev"] + number})
        num_errors = sums["num_errors"]
        traces.rows.append(
            whole
            | sums
            | {
                "status": "error" if num_errors > num_spans // 25 else "ok",
                "duration_ms": (sums["ended_at"] - at) // timedelta(milliseconds=1),
                "has_error": num_errors > 0,
                "is_open": False,
                "rev": whole["rev"] + num_spans,
            }
        )
        self.counts.num_traces += 1
        self.counts.num_spans += num_spans
        self.counts.cost_usd += sums["cost_usd"]
        self.counts.span_rows += len(spans.rows) - before[0]
        self.counts.trace_rows += len(traces.rows) - before[1]

    def _spans(
        self, base: dict[str, Any], at: datetime, num_spans: int, whole: dict[str, Any], spans: Rows
    ) -> Iterator[dict[str, Any]]:
        """Add spans; after each, yield the sums so far."""
        chance = self._chance
        runs: list[tuple[str, list[str]]] = []
        models: set[str] = set()
        sums: dict[str, Any] = dict.fromkeys(
            ("num_runs", "num_model_calls", "num_tool_calls", "num_errors", "input_tokens", "output_tokens"), 0
        )
        sums |= {"cost_usd": Decimal(0), "ended_at": at}
        now = at
        for number in range(num_spans):
            span_id = f"{chance.getrandbits(64):016x}"
            kind = "run" if number % 25 == 0 else "model_call" if number % 2 else "tool_call"
            # Sub-agents of sub-agents, and then again from the root: a chain of thousands is nobody's work.
            parent, path = (runs[0] if len(runs[-1][1]) >= MAX_DEPTH else runs[-1]) if runs else (None, [])
            length_ms = int(50 + chance.random() * 9_000)
            is_error = chance.random() < 1 / 60
            end = now + timedelta(milliseconds=length_ms)
            row: dict[str, Any] = base | {
                "span_id": span_id,
                "parent_span_id": parent,
                "path": [*path, parent] if parent else [],
                "depth": len(path) + 1 if parent else 0,
                "kind": kind,
                "operation_name": kind,
                "status": "error" if is_error else "ok",
                "error": "exit code 1: no such file" if is_error else None,
                "started_at": now,
                "ended_at": end,
                "duration_ms": length_ms,
                "openclaw_agent_id": "main",
                "input": chance.choice(self._payloads),
                "output": chance.choice(self._payloads),
                "rev": whole["rev"] + number,
            }
            if kind == "run":
                row |= {"name": "invoke_agent main", "session_key": whole["session_key"]}
                runs.append((span_id, row["path"]))
                sums["num_runs"] += 1
            elif kind == "tool_call":
                tool = f"tool_{int(chance.random() * 12)}"
                row |= {"name": f"execute_tool {tool}", "tool_name": tool}
                sums["num_tool_calls"] += 1
            else:
                model = f"model-{int(chance.random() * 4)}"
                spent = (int(chance.random() * 20_000), int(chance.random() * 900))
                price = Decimal(spent[0] * 3 + spent[1] * 15) / _US
                row |= {"name": f"chat {model}", "provider": "sim", "model": model, "cost_usd": price}
                row |= {"input_tokens": spent[0], "output_tokens": spent[1]}
                models.add(f"sim/{model}")
                sums["input_tokens"] += spent[0]
                sums["output_tokens"] += spent[1]
                sums["cost_usd"] += price
                sums["num_model_calls"] += 1
            sums["num_errors"] += is_error
            if chance.random() < SHARE_TWICE:
                running = {"status": "running", "ended_at": None, "duration_ms": None, "output": None}
                spans.rows.append(row | running | {"rev": row["rev"] - 1, "cost_usd": None, "error": None})
            spans.rows.append(row)
            sums["ended_at"] = max(sums["ended_at"], end)
            now += timedelta(milliseconds=int(20 + chance.random() * 2_000))
            yield sums | {"root_span_id": runs[0][0], "models": sorted(models), "num_spans": number + 1}


def empty_rows() -> tuple[Rows, Rows]:
    """No traces and no spans yet."""
    return Rows(TRACES), Rows(SPANS)
