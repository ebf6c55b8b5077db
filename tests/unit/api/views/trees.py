"""Traces made of nothing, for the views: drawn by hypothesis, or as large as is asked for."""

import random
from dataclasses import fields

from hypothesis import strategies as st

from api.views.columns import SpanColumns

KINDS = ("run", "model_call", "tool_call")
Row = tuple[object, ...]


def columns(rows: list[dict[str, object]]) -> SpanColumns:
    """Columns of rows that name only what matters; the rest is empty. Rows are sorted as the repository does."""
    base: dict[str, object] = {"status": "ok", "kind": "model_call", "name": "chat", "started_us": 0, "ended_us": 0}
    names = [field.name for field in fields(SpanColumns)]
    whole = [{**dict.fromkeys(names), **base, **row} for row in rows]
    return SpanColumns.of_rows([[row[name] for name in names] for row in whole])


@st.composite
def traces(draw: st.DrawFn, max_spans: int = 24) -> SpanColumns:
    """A tree of spans; now and then with an orphan, a running span or a ring of parents."""
    num_spans = draw(st.integers(0, max_spans))
    rows: list[dict[str, object]] = []
    for number in range(num_spans):
        parent = draw(st.integers(-1, number - 1 if draw(st.integers(0, 9)) else num_spans + 1))
        kind = draw(st.sampled_from(KINDS))
        start = draw(st.integers(0, 60))
        priced = kind == "model_call" and draw(st.booleans())
        rows.append(
            {
                "span_id": f"s{number}",
                "parent_span_id": None if parent < 0 else f"s{parent}",
                "kind": kind,
                "name": f"{kind} {draw(st.sampled_from('abc'))}",
                "status": draw(st.sampled_from(("ok", "error"))),
                "started_us": start,
                "ended_us": draw(st.none() | st.integers(start, start + 30)),
                "agent": draw(st.none() | st.sampled_from(("main", "helper"))),
                "model": draw(st.sampled_from(("x", "y"))) if kind == "model_call" else None,
                "tool": draw(st.sampled_from(("exec", "read"))) if kind == "tool_call" else None,
                "input_tokens": draw(st.integers(0, 50)) if kind == "model_call" else None,
                "cost": draw(st.integers(0, 10**12)) if priced else None,
            }
        )
    rows.sort(key=lambda row: str(row["started_us"]).zfill(9))
    return columns(rows)


def large_trace(num_spans: int, seed: int = 1) -> SpanColumns:
    """A trace such as a long OpenClaw run makes: turns of a model call and its tool calls, with sub-agents."""
    chance = random.Random(seed)
    rows: list[dict[str, object]] = []
    runs: list[str] = []
    at_us = 1_790_000_000_000_000
    for number in range(num_spans):
        span_id = f"{chance.getrandbits(64):016x}"
        at_us += chance.randrange(1_000, 900_000)
        kind = "run" if number % 250 == 0 else chance.choice(("model_call", "tool_call", "tool_call"))
        parent = None if number == 0 else chance.choice(runs[-4:]) if kind != "run" else runs[-1]
        tool = f"tool_{chance.randrange(30)}"
        row: dict[str, object] = {
            "span_id": span_id,
            "parent_span_id": parent,
            "kind": kind,
            "started_us": at_us,
            "ended_us": at_us + chance.randrange(1_000, 60_000_000),
            "agent": f"agent-{chance.randrange(5)}",
            "status": "error" if chance.randrange(40) == 0 else "ok",
            "name": "invoke_agent main",
        }
        if kind == "run":
            runs.append(span_id)
        elif kind == "tool_call":
            row |= {"name": f"execute_tool {tool}", "tool": tool}
        else:
            model = f"model-{chance.randrange(4)}"
            row |= {
                "name": f"chat {model}",
                "provider": "openai",
                "model": model,
                "input_tokens": chance.randrange(100_000),
                "cache_read_tokens": chance.randrange(100_000),
                "cache_write_tokens": chance.randrange(10_000),
                "output_tokens": chance.randrange(5_000),
                "cost": chance.randrange(10**12),
            }
        rows.append(row)
    return columns(rows)
