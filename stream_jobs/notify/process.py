"""The notifier as a process: one reads alerts, every one delivers.

Upstream: ``clawtrace notifier run``.
Downstream: ``planner``, ``dispatch``; health and metrics on the port ``notifier_metrics``.
Guarantee: of all notifiers on one database one reads; the others stand by and deliver. SIGTERM ends within ten seconds,
kill -9 loses nothing.
"""

from typing import Final

from infra.runtime.database import make_engine
from stream_jobs.log_source import NeedsPerson
from stream_jobs.lone_process import LoneProcess
from stream_jobs.notify import metrics
from stream_jobs.notify.deliver import Deliverer
from stream_jobs.notify.dispatch import Dispatcher
from stream_jobs.notify.outbound import Guard
from stream_jobs.notify.planner import Planner
from stream_jobs.settings import NotifierSettings

__all__ = ["NeedsPerson", "run_notifier"]

# Any constant: all notifiers must ask for the same lock.
NOTIFIER_LOCK_ID: Final = 4_600_008


def run_notifier(settings: NotifierSettings) -> None:
    """Work until SIGTERM or SIGINT.

    Raises:
        NeedsPerson: what nobody can wait out.
        DatabaseAway: the local stack was never started.
    """
    engine = make_engine(settings, pool_size=settings.notify_num_senders)
    dispatcher = Dispatcher(settings, engine, Deliverer.behind(Guard(settings.allowed_networks)))
    process = LoneProcess(
        settings,
        lambda connection: Planner(settings, connection),
        doing="reading",
        port_name="notifier_metrics",
        lock_id=NOTIFIER_LOCK_ID,
        standby_seconds=settings.notify_standby_seconds,
        num_working=metrics.READING,
    )
    dispatcher.start()
    try:
        process.run()
    finally:
        dispatcher.stop()
        engine.dispose()
