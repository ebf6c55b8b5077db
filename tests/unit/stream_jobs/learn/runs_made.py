"""Runs for the tests of the learner."""

from decimal import Decimal
from typing import Any

from stream_jobs.core.learn.runs import Run


def run(trace_id: str, usd: str | float | None = "0.1", **more: Any) -> Run:
    """A run of a nightly task that ended well."""
    cost_usd = None if usd is None else Decimal(str(usd))
    return Run(trace_id=trace_id, cost_usd=cost_usd, **{"task_id": "nightly", **more})


def runs(prefix: str, costs: list[float], **more: Any) -> list[Run]:
    """Runs with these costs."""
    return [run(f"{prefix}{number}", round(cost, 6), **more) for number, cost in enumerate(costs)]
