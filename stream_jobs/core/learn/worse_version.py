"""Rule ``worse_version``: after a new skill or configuration, runs of a task are dearer or fail more than before.

Upstream: the runs of one task in their order.
Downstream: alerts.
Guarantee: pure. A version is compared with the one right before it, after its 5th, 10th, 20th and 40th run in a row.
Dearer: one-sided rank test, exact, and a median at least ``MIN_RISE`` higher. More failing: Fisher's exact test. The
chance of a false alarm over all looks at both is at most 1 - ``CONFIDENCE``, shared out evenly (Bonferroni).
"""

from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Final

from stream_jobs.core.learn.findings import Finding
from stream_jobs.core.learn.proportions import Count, p_more_often
from stream_jobs.core.learn.rank_test import p_above
from stream_jobs.core.learn.runs import Run

LABELS: Final = ("skill", "config")
LOOKS: Final = (5, 10, 20, 40)
MIN_OLD_RUNS: Final = 5
MAX_OLD_RUNS: Final = 50
CONFIDENCE: Final = 0.95
MIN_RISE: Final = Decimal("0.1")
# Cost and failures, at each look.
ALPHA: Final = (1 - CONFIDENCE) / (2 * len(LOOKS))


def find_worse_version(runs: Sequence[Run], label: str) -> Finding | None:
    """Judge the version of the newest run, if it is time to look; runs of one task, the newest last."""
    new, old = _last_two_versions(runs, label)
    if len(new) not in LOOKS or len(old) < MIN_OLD_RUNS:
        return None
    failed = [Count(sum(run.is_failed for run in side), len(side)) for side in (old, new)]
    p_failures = p_more_often(*failed)
    old_costs, new_costs = ([run.cost_usd for run in side if run.cost_usd is not None] for side in (old, new))
    is_priced = min(len(old_costs), len(new_costs)) >= MIN_OLD_RUNS
    p_cost = p_above(new_costs, old_costs) if is_priced else 1.0
    before, after = (median(costs) if is_priced else Decimal(0) for costs in (old_costs, new_costs))
    is_dearer = p_cost < ALPHA and after >= before * (1 + MIN_RISE)
    is_failing = p_failures < ALPHA
    if not is_dearer and not is_failing:
        return None
    task_id, value, old_value = runs[-1].task_id, new[-1].labels[label], old[-1].labels[label]
    what = []
    if is_dearer:
        what.append(f"cost {after.normalize():f} dollars in the median instead of {before.normalize():f}")
    if is_failing:
        what.append(f"fail {failed[1].num_hits} of {len(new)} times instead of {failed[0].num_hits} of {len(old)}")
    return Finding(
        rule="worse_version",
        about=f"{task_id}|{label}|{old_value}|{value}",
        state="alert",
        message=f"Since {label} {value} replaced {old_value}, runs of {task_id} {' and '.join(what)}.",
        labels={"task_id": task_id, "label": label, "old_value": old_value, "new_value": value},
        evidence={
            "num_old": str(len(old)),
            "num_new": str(len(new)),
            "median_old_usd": f"{before.normalize():f}",
            "median_new_usd": f"{after.normalize():f}",
            "failed_old": str(failed[0].num_hits),
            "failed_new": str(failed[1].num_hits),
            "p_cost": f"{p_cost:.6f}",
            "p_failures": f"{p_failures:.6f}",
            "alpha": f"{ALPHA:.6f}",
            "confidence": str(CONFIDENCE),
            "test": "exact rank test of cost, Fisher's exact test of failures, one-sided",
        },
        trace_id=new[-1].trace_id,
    )


def find_version_gone(run: Run, told: Finding) -> Finding | None:
    """Return the end of an alert, once a run of its task is of another version than the one it is about."""
    label, value = told.labels["label"], told.labels["new_value"]
    now = run.labels.get(label)
    if run.task_id != told.labels["task_id"] or now is None or now == value:
        return None
    return Finding(
        rule="worse_version",
        about=told.about,
        state="ok",
        message=f"Runs of {run.task_id} no longer use {label} {value}, but {now}.",
        labels=told.labels,
        evidence=told.evidence,
        trace_id=run.trace_id,
    )


def _last_two_versions(runs: Sequence[Run], label: str) -> tuple[list[Run], list[Run]]:
    """Return the runs in a row of the newest version, and those of the version before it, the newest last."""
    sides: list[list[Run]] = [[]]
    for run in reversed(runs):
        value = run.labels.get(label)
        if value is None:
            continue
        if sides[-1] and sides[-1][-1].labels[label] != value:
            if len(sides) == 2:
                break
            sides.append([])
        sides[-1].append(run)
    new, old = (side[::-1] for side in [*sides, []][:2])
    return new, old[-MAX_OLD_RUNS:]
