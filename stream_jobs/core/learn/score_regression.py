"""Rule ``score_regression``: runs of an agent score lower by its rubric than they used to.

Upstream: the scores of an agent's runs by one version of a rubric, in their order.
Downstream: alerts.
Guarantee: pure. Looked at after each ``BLOCK`` runs, so each run is tested once as new: a one-sided exact rank test of
the block against at most ``MAX_OLD_RUNS`` before it, at ``CONFIDENCE``, and a mean at least ``MIN_FALL`` lower. It ends
with the first block whose mean has won back half of the fall.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Final

from stream_jobs.contracts.alert import AlertState
from stream_jobs.core.learn.findings import Finding
from stream_jobs.core.learn.rank_test import p_above
from stream_jobs.core.learn.runs import Run

BLOCK: Final = 10
MIN_OLD_RUNS: Final = 10
MAX_OLD_RUNS: Final = 50
CONFIDENCE: Final = 0.99
MIN_FALL: Final = 0.05


def about_of(rubric: str, version: str) -> str:
    """What tells an alert of this rule from others: one version of a rubric."""
    return f"{rubric}|{version}"


def is_time_to_look(num_scored: int) -> bool:
    """Whether a block is full that can be compared with runs before it."""
    return num_scored % BLOCK == 0 and num_scored >= BLOCK + MIN_OLD_RUNS


def find_score_regression(runs: Sequence[Run], num_scored: int, rubric: str, told: Finding | None) -> Finding | None:
    """Look at the newest runs, if it is time to.

    Args:
        runs: scored by one version of the rubric, the newest last; more than are looked at do no harm.
        num_scored: how many that version has scored in all.
        told: what was told, while that lasts.
    """
    if not is_time_to_look(num_scored) or len(runs) < BLOCK + MIN_OLD_RUNS:
        return None
    scores = [run.score for run in runs if run.score is not None]
    new, old = scores[-BLOCK:], scores[-BLOCK - MAX_OLD_RUNS : -BLOCK]
    if told is not None:
        before, fallen = float(told.evidence["mean_old"]), float(told.evidence["mean_new"])
        if fmean(new) < (before + fallen) / 2:
            return None
        message = f"Runs score {fmean(new):.2f} by the rubric {rubric} again; they had fallen to {fallen:.2f}."
        return _finding(runs[-1], rubric, "ok", message, told.evidence)
    # Lower scores are higher losses.
    p_lower = p_above([-score for score in new], [-score for score in old])
    if p_lower >= 1 - CONFIDENCE or fmean(old) - fmean(new) < MIN_FALL:
        return None
    evidence = {
        "mean_old": f"{fmean(old):.4f}",
        "mean_new": f"{fmean(new):.4f}",
        "num_old": str(len(old)),
        "num_new": str(len(new)),
        "p": f"{p_lower:.6f}",
        "confidence": str(CONFIDENCE),
        "test": "exact rank test, one-sided",
    }
    message = (
        f"The last {len(new)} runs score {fmean(new):.2f} by the rubric {rubric}; the {len(old)} before them "
        f"{fmean(old):.2f}."
    )
    return _finding(runs[-1], rubric, "alert", message, evidence)


def _finding(run: Run, rubric: str, state: AlertState, message: str, evidence: Mapping[str, str]) -> Finding:
    return Finding(
        rule="score_regression",
        about=about_of(rubric, run.rubric_version),
        state=state,
        message=message,
        labels={"rubric": rubric, "rubric_version": run.rubric_version},
        evidence=evidence,
        trace_id=run.trace_id,
    )
