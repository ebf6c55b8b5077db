"""Makes steps: of stitched captures, and by hand."""

from decimal import Decimal
from typing import Any

from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.span import Span
from stream_jobs.core.cards.log import result_bytes
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.learn.steps import RunSteps, Step
from tests.unit.stream_jobs.core.stitching import Replay
from tests.unit.stream_jobs.learn.trying import PRICES, TENANT

BOOK = PriceBook.from_toml(PRICES)
MINUTE_US = 60_000_000


def steps_of(replay: Replay, trace_id: str) -> RunSteps:
    """The steps of a trace that was stitched."""
    return run_of(*(step_of(it) for it in replay.spans.values() if it.trace_id == trace_id))


def step_of(span: Span) -> Step:
    """A span as a step."""
    usage = None
    if span.usage_source is not None:
        buckets = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
        usage = TokenUsage(**{f"{it}_tokens": getattr(span, f"{it}_tokens") or 0 for it in buckets})
    return Step(
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        kind=span.kind,
        name=span.name,
        status=span.status,
        started_at_us=span.started_at_us,
        ended_at_us=span.ended_at_us,
        depth=span.depth,
        run_id=span.run_id or "",
        session_key=span.session_key or "",
        attempt=span.attempt or 1,
        provider=span.provider or "",
        model=span.model or "",
        tool_name=span.tool_name or "",
        tool_call_id=span.tool_call_id or "",
        usage=usage,
        cost_usd=span.cost_usd,
        flags=tuple(span.flags),
        result_bytes=0 if span.output is None else result_bytes(span.output.encode()),
    )


def run_of(*steps: Step) -> RunSteps:
    """Steps with the prices of the scripted provider."""
    return RunSteps(steps, BOOK, TENANT)


def root() -> Step:
    """The run that all calls of ``call`` are in."""
    return Step(span_id="run", kind="run", name="invoke_agent main", status="ok", started_at_us=0, run_id="r")


def call(number: int, *, at_us: int | None = None, **changes: Any) -> Step:
    """A model call; buckets are input, read, write, write_1h, output."""
    names = {"input": "input", "read": "cache_read", "write": "cache_write", "write_1h": "cache_write_1h"}
    names["output"] = "output"
    usage = TokenUsage(**{f"{name}_tokens": changes.pop(short, 0) for short, name in names.items()})
    values: dict[str, Any] = {
        "span_id": f"call-{number}",
        "parent_span_id": "run",
        "kind": "model_call",
        "name": "chat sim-1",
        "status": "ok",
        "started_at_us": number * 1_000_000 if at_us is None else at_us,
        "depth": 1,
        "run_id": "r",
        "session_key": "agent:main:main",
        "provider": "fake",
        "model": "sim-1",
        "usage": usage,
    } | changes
    if "cost_usd" not in values:
        price = BOOK.find_price(TENANT, values["provider"], values["model"], 0)
        values["cost_usd"] = None if price is None else price.cost_usd(usage)
    return Step(**values)


def tool(number: int, **changes: Any) -> Step:
    """A tool call."""
    values: dict[str, Any] = {
        "span_id": f"tool-{number}",
        "parent_span_id": "run",
        "kind": "tool_call",
        "name": "execute_tool read",
        "status": "ok",
        "started_at_us": number * 1_000_000,
        "ended_at_us": number * 1_000_000 + 1,
        "depth": 1,
        "run_id": "r",
        "session_key": "agent:main:main",
        "tool_name": "read",
    } | changes
    return Step(**values)


def usd(text: str) -> Decimal:
    """Dollars."""
    return Decimal(text)
