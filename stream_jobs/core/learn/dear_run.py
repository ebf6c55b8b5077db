"""Rule ``dear_run``: a run costs far more than the runs of its own task usually do.

Upstream: a run, and the earlier runs of its task.
Downstream: alerts; the difference to the median run says why.
Guarantee: pure; fires at more than ``FACTOR`` times the median of at least ``MIN_RUNS`` earlier priced runs. Where runs
differ by nature, as those of chats do, it is information: a warning is only the dearest run of all.
"""

from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Final

from stream_jobs.core.learn.findings import Finding
from stream_jobs.core.learn.runs import Run

FACTOR: Final = 2
MIN_RUNS: Final = 5
# Tasks change; what they cost long ago says little.
MAX_RUNS: Final = 50


def find_dear_run(run: Run, earlier: Sequence[Run]) -> Finding | None:
    """Return the finding, if the run is dear; ``earlier`` are runs of the same task, the newest last."""
    priced = [it for it in earlier if it.cost_usd is not None][-MAX_RUNS:]
    if run.cost_usd is None or len(priced) < MIN_RUNS:
        return None
    costs = sorted(it.cost_usd for it in priced if it.cost_usd is not None)
    usual = median(costs)
    if run.cost_usd <= FACTOR * usual:
        return None
    # Of an even number the median lies between two runs; the lower of them has really run.
    middle = costs[(len(costs) - 1) // 2]
    median_run = next(it for it in reversed(priced) if it.cost_usd == middle)
    num_dearer = sum(cost >= run.cost_usd for cost in costs)
    times = f"{run.cost_usd / usual:.1f} times" if usual else "more than"
    return Finding(
        rule="dear_run",
        about=run.trace_id,
        state="alert",
        severity="info" if num_dearer else "warning",
        message=f"This run of {run.task_id} cost {_usd(run.cost_usd)} dollars, {times} the median of the "
        f"{len(priced)} runs before it ({_usd(usual)}).",
        labels={"task_id": run.task_id},
        evidence={
            "cost_usd": _usd(run.cost_usd),
            "median_usd": _usd(usual),
            "factor": str(FACTOR),
            "num_runs": str(len(priced)),
            "num_dearer": str(num_dearer),
            "median_trace_id": median_run.trace_id,
        },
        trace_id=run.trace_id,
    )


def _usd(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
