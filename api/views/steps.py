"""The steps of a trace, from its rows, as the functions that blame cost want them.

Upstream: api/repositories/spans.py.
Downstream: api/routers/trace_costs.py.
Guarantee: every span of the rows is a step; a call without usage has none.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.kit.instants import to_us
from producers.contracts.pricing.book import PriceBook
from producers.contracts.usage import TokenUsage
from stream_jobs.learning import RunSteps, Step

_KEPT: Final = ("span_id", "parent_span_id", "kind", "name", "status", "depth", "cost_usd")
_TEXTS: Final = ("run_id", "session_key", "provider", "model", "tool_name", "tool_call_id")
_BUCKETS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def run_steps(
    rows: Iterable[Mapping[str, Any]], sizes: Mapping[str, int], prices: PriceBook, tenant_id: str
) -> RunSteps:
    """Make the steps of a trace; ``sizes`` is what each tool call gave the model, in bytes."""
    return RunSteps((step_of(row, sizes.get(row["span_id"], 0)) for row in rows), prices, tenant_id)


def step_of(row: Mapping[str, Any], num_bytes: int = 0) -> Step:
    """Make a step of a row."""
    is_used = row["usage_source"] is not None
    values: dict[str, Any] = {name: row[name] for name in _KEPT} | {name: row[name] or "" for name in _TEXTS}
    return Step(
        **values,
        started_at_us=to_us(row["started_at"]),
        ended_at_us=None if row["ended_at"] is None else to_us(row["ended_at"]),
        attempt=row["attempt"] or 1,
        usage=TokenUsage(**{name: row[name] or 0 for name in _BUCKETS}) if is_used else None,
        flags=tuple(row["flags"] or ()),
        result_bytes=num_bytes,
    )
