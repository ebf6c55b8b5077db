"""Fills a lake with spans as a month of agents' work would, through pyiceberg and not through the pipeline.

Upstream: nothing; everything follows from the seed.
Downstream: tests/bench/api_times.py measures the API over it.
Guarantee: the same seed gives the same rows. Of each trace and of some spans there are two revisions, so that the
views have to choose; tokens and cost of a trace are the sums over its model calls.

    python -m tests.bench.fill_lake --spans 1000000
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import In
from pyiceberg.table import Table

from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.catalog.schema import arrow_schema
from lakehouse.contracts.tables import AGENTS, SPANS, TRACES, TableSpec
from lakehouse.settings import LakeSettings

TENANT = "benchapi"
OTHER_TENANTS = ("benchapiother1", "benchapiother2")
NUM_AGENTS = 12
NUM_DAYS = 30
SPANS_A_TRACE = 50
LARGE_SPANS = 50_000
LARGE_TRACE = f"{0xB16:032x}"
APPENDS_A_DAY = 4
MAX_TRIES = 20
MAX_DEPTH = 4
# Of the spans, those that were also stored while they still ran.
SHARE_TWICE = 0.3
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
        arrays = []
        for column in schema:
            empty = None if column.nullable else _empty(column.type)
            arrays.append(pa.array([row.get(column.name, empty) for row in self.rows], column.type))
        return pa.Table.from_arrays(arrays, schema=schema).sort_by([(name, "ascending") for name in self.table.sort])


def _empty(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return []
    if pa.types.is_map(kind):
        return {}
    return "" if pa.types.is_string(kind) else False if pa.types.is_boolean(kind) else 0


class Month:
    """Makes the rows of one tenant."""

    def __init__(self, tenant_id: str, seed: int, last_day: date) -> None:
        self._chance = random.Random(f"{seed}-{tenant_id}")
        self._tenant_id = tenant_id
        self._last_day = last_day
        chance = self._chance
        self._payloads = ['{"text":"' + " ".join(chance.choices(_WORDS, k=50)) + '"}' for _ in range(400)]

    def day(self, back: int, num_spans: int) -> Iterator[tuple[Rows, Rows]]:
        """Yield traces and spans of one day, in as many parts as it was appended in."""
        day = self._last_day - timedelta(days=back)
        for part in range(APPENDS_A_DAY):
            traces, spans = Rows(TRACES), Rows(SPANS)
            start = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=24 * part / APPENDS_A_DAY)
            for _ in range(num_spans // APPENDS_A_DAY // SPANS_A_TRACE):
                at = start + timedelta(microseconds=self._chance.randrange(6 * 3600 * _US))
                self.trace(f"{self._chance.getrandbits(128):032x}", day, at, SPANS_A_TRACE, traces, spans)
            yield traces, spans

    def trace(self, trace_id: str, day: date, at: datetime, num_spans: int, traces: Rows, spans: Rows) -> None:
        """Add one trace and its spans."""
        chance = self._chance
        agent_id = f"agent-{chance.randrange(NUM_AGENTS)}"
        base = {"tenant_id": self._tenant_id, "agent_id": agent_id, "trace_id": trace_id, "trace_date": day}
        tokens, cost, errors, calls = [0, 0], Decimal(0), 0, 0
        runs: list[tuple[str, list[str]]] = []
        models: set[str] = set()
        rev = chance.randrange(10**9)
        now, end = at, at
        for number in range(num_spans):
            span_id = f"{chance.getrandbits(64):016x}"
            kind = "run" if number % 25 == 0 else "model_call" if number % 2 else "tool_call"
            # Sub-agents of sub-agents, and then again from the root: a chain of thousands is nobody's work.
            parent, path = (runs[0] if len(runs[-1][1]) >= MAX_DEPTH else runs[-1]) if runs else (None, [])
            length_ms = chance.randrange(50, 9_000)
            is_error = chance.randrange(60) == 0
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
                "rev": rev + number,
            }
            if kind == "run":
                row |= {"name": "invoke_agent main", "session_key": f"agent:main:chat-{chance.randrange(40)}"}
                runs.append((span_id, row["path"]))
            elif kind == "tool_call":
                tool = f"tool_{chance.randrange(12)}"
                row |= {"name": f"execute_tool {tool}", "tool_name": tool}
            else:
                model = f"model-{chance.randrange(4)}"
                spent = (chance.randrange(20_000), chance.randrange(900))
                price = Decimal(spent[0] * 3 + spent[1] * 15) / 1_000_000
                row |= {"name": f"chat {model}", "provider": "sim", "model": model, "cost_usd": price}
                row |= {"input_tokens": spent[0], "output_tokens": spent[1]}
                models.add(f"sim/{model}")
                tokens = [tokens[0] + spent[0], tokens[1] + spent[1]]
                cost += price
                calls += 1
            errors += is_error
            if chance.random() < SHARE_TWICE:
                running = {"status": "running", "ended_at": None, "duration_ms": None, "output": None, "rev": rev}
                spans.rows.append(row | running | {"cost_usd": None, "error": None})
            spans.rows.append(row)
            now += timedelta(milliseconds=chance.randrange(20, 2_000))
        whole: dict[str, Any] = base | {
            "root_span_id": runs[0][0],
            "name": " ".join(chance.choices(_WORDS, k=6)),
            "category": chance.choices(("work", "heartbeat", "memory"), (80, 15, 5))[0],
            "status": "error" if errors > num_spans // 25 else "ok",
            "session_key": f"agent:main:chat-{chance.randrange(40)}",
            "openclaw_agent_id": "main",
            "started_at": at,
            "ended_at": end,
            "duration_ms": (end - at) // timedelta(milliseconds=1),
            "num_spans": num_spans,
            "num_runs": len(runs),
            "num_model_calls": calls,
            "num_tool_calls": num_spans - calls - len(runs),
            "num_errors": errors,
            "models": sorted(models),
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "cost_usd": cost,
            "has_error": errors > 0,
            "is_open": False,
            "rev": rev + num_spans,
        }
        running = {"status": "running", "ended_at": None, "duration_ms": None, "is_open": True, "rev": rev}
        traces.rows.append(whole | running)
        traces.rows.append(whole)


def _retried(table: Table, change: Callable[[], None]) -> None:
    """Make a change; when somebody else committed meanwhile, which leaves nothing of it behind, make it again."""
    for _ in range(MAX_TRIES):
        try:
            change()
            return
        except CommitFailedException:
            table.refresh()
    raise RuntimeError(f"{table.name()}: no commit went through in {MAX_TRIES} tries")


def fill(settings: LakeSettings, num_spans: int, seed: int = 1) -> None:
    """Append everything, in place of what an earlier call left: a tenth for each other tenant, the rest for ours."""
    catalog = connect_catalog(settings)
    tables = {spec.name: load_table(catalog, settings, spec) for spec in (TRACES, SPANS, AGENTS)}
    today = datetime.now(UTC).date()
    shares = {TENANT: 0.8, **dict.fromkeys(OTHER_TENANTS, 0.1)}

    for table in tables.values():
        _retried(table, lambda table=table: table.delete(In("tenant_id", list(shares))))

    def append(rows: Rows) -> None:
        table, arrow = tables[rows.table.name], rows.as_arrow()
        _retried(table, lambda: table.append(arrow))

    months = {tenant_id: Month(tenant_id, seed, today) for tenant_id in shares}
    for back in range(NUM_DAYS):
        for tenant_id, month in months.items():
            for traces, spans in month.day(back, int((num_spans - LARGE_SPANS) * shares[tenant_id]) // NUM_DAYS):
                append(spans)
                append(traces)
    traces, spans = Rows(TRACES), Rows(SPANS)
    yesterday = datetime.combine(today, datetime.min.time(), UTC) - timedelta(hours=2)
    months[TENANT].trace(LARGE_TRACE, yesterday.date(), yesterday, LARGE_SPANS, traces, spans)
    append(spans)
    append(traces)
    agents = Rows(AGENTS)
    for number in range(NUM_AGENTS):
        seen = {"first_seen_at": yesterday - timedelta(days=NUM_DAYS), "last_seen_at": yesterday}
        agents.rows.append({"tenant_id": TENANT, "agent_id": f"agent-{number}", **seen})
    append(agents)


def main() -> None:
    """Fill the lake of the stack that CLAWTRACE_HOME and CLAWTRACE_PORT_BASE name."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    wanted = arguments.parse_args()
    began_at_s = time.monotonic()
    fill(LakeSettings(), wanted.spans, wanted.seed)
    print(f"{wanted.spans:,} spans in {time.monotonic() - began_at_s:.0f} s")


if __name__ == "__main__":
    main()
