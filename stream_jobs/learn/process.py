"""The learner as a process.

Upstream: ``clawtrace learner run``.
Downstream: ``learner``; health and metrics on the port ``learner_metrics``.
Guarantee: of all learners on one database one works; the others stand by.
"""

from typing import Final

from stream_jobs.learn import metrics
from stream_jobs.learn.learner import Learner
from stream_jobs.log_source import NeedsPerson
from stream_jobs.lone_process import LoneProcess
from stream_jobs.settings import LearnerSettings

__all__ = ["NeedsPerson", "make_learner_process"]

# Any constant: all learners must ask for the same lock.
LEARNER_LOCK_ID: Final = 4_600_005


def make_learner_process(settings: LearnerSettings) -> LoneProcess:
    """Make the process; ``run`` works until it is told to end."""
    return LoneProcess(
        settings,
        lambda connection: Learner(settings, connection),
        doing="learning",
        port_name="learner_metrics",
        lock_id=LEARNER_LOCK_ID,
        standby_seconds=settings.learner_standby_seconds,
        num_working=metrics.LEARNING,
    )
