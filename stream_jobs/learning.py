"""The door for what finished runs teach: pure functions over stored steps, for whoever reads them.

Upstream: the API.
Downstream: ``stream_jobs.core.learn``.
Guarantee: it holds no logic.
"""

from stream_jobs.core.cards.log import result_bytes, size_of_text
from stream_jobs.core.learn.cache_breaks import BreakReason, CacheBreak, cache_breaks
from stream_jobs.core.learn.reread_bill import RereadBill, RereadResult, reread_bill
from stream_jobs.core.learn.run_diff import Blame, BlameReason, RunDiff, explain
from stream_jobs.core.learn.steps import RunSteps, Step, usd_of
from stream_jobs.core.learn.tree_diff import Change, Difference, Totals, TraceDiff, diff_traces

__all__ = [
    "Blame",
    "BlameReason",
    "BreakReason",
    "CacheBreak",
    "Change",
    "Difference",
    "RereadBill",
    "RereadResult",
    "RunDiff",
    "RunSteps",
    "Step",
    "Totals",
    "TraceDiff",
    "cache_breaks",
    "diff_traces",
    "explain",
    "reread_bill",
    "result_bytes",
    "size_of_text",
    "usd_of",
]
