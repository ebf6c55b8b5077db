"""The keeper as a process.

Upstream: ``clawtrace budgets run``.
Downstream: ``keeper``; health and metrics on the port ``budgets_metrics``.
Guarantee: of all keepers on one database one works; the others stand by.
"""

from typing import Final

from stream_jobs.budgets import metrics
from stream_jobs.budgets.keeper import Keeper
from stream_jobs.log_source import NeedsPerson
from stream_jobs.lone_process import LoneProcess
from stream_jobs.settings import BudgetsSettings

__all__ = ["NeedsPerson", "make_budgets_process"]

# Any constant: all keepers must ask for the same lock.
KEEPER_LOCK_ID: Final = 4_600_002


def make_budgets_process(settings: BudgetsSettings) -> LoneProcess:
    """Make the process; ``run`` works until it is told to end."""
    return LoneProcess(
        settings,
        lambda connection: Keeper(settings, connection),
        doing="keeping",
        port_name="budgets_metrics",
        lock_id=KEEPER_LOCK_ID,
        standby_seconds=settings.budgets_standby_seconds,
        num_working=metrics.KEEPING,
    )
