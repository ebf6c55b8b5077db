"""The stitcher's process: start, watch, stop.

Upstream: ``clawtrace stitcher run``, started and watched by a supervisor.
Downstream: the app of ``app``.
Guarantee: exit code 0 after SIGTERM with everything taken up written, committed and closed; exit code 1 for whatever
only a restart can heal, within seconds.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import structlog
import uvloop

from infra.runtime.collector import collect_seldom
from infra.runtime.fail_points import arm
from infra.runtime.kafka import KafkaAway, missing_topics, provision_topics
from infra.runtime.metrics import serve_health
from stream_jobs import metrics
from stream_jobs.processors.app import StitcherApp, create_app
from stream_jobs.processors.datadir import StateFolder
from stream_jobs.processors.shell import Core
from stream_jobs.processors.topology import Topology
from stream_jobs.processors.watchdog import CHECK_EVERY_S, Watchdog
from stream_jobs.settings import StitcherSettings

_log = structlog.get_logger(__name__)

BROKER_WAIT_S: Final = 60.0
BROKER_RETRY_S: Final = 1.0
DRAIN_TIMEOUT_S: Final = 4.0
STOP_TIMEOUT_S: Final = 4.0
LOOK_TIMEOUT_S: Final = 10.0
READINESS_EVERY_S: Final = 0.2
EXIT_OK: Final = 0
EXIT_RESTART: Final = 1


class TopicsMissing(Exception):
    """Topics that others create are not there; the text names them."""


def run_stitcher(settings: StitcherSettings, core: Core) -> int:
    """Run until a signal or a failure; return the exit code."""
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Until the app handles it: told to stop while waiting for the broker is a good end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_OK))
    arm(settings.fail_point)
    topology = Topology.with_prefix(settings.topic_prefix)
    with StateFolder(settings.stitcher_folder):
        # The health server asks from a thread of its own, and Faust makes its parts when they are first touched, bound
        # to the loop of whoever touches them: so the answer is worked out in the main loop and only read there.
        missing = ["not started yet"]
        health = serve_health(settings.port("stitcher_metrics"), lambda: list(missing), settings.listen_host)
        try:
            prepare_topics(settings, topology)

            async def main() -> int:
                return await _Process(create_app(settings, core), settings, missing).run()

            # Faust's consumer thread makes its loop from the policy.
            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
            collect_seldom()
            return asyncio.run(main())
        finally:
            health.close()


def prepare_topics(settings: StitcherSettings, topology: Topology) -> None:
    """Wait for the broker, create the state topic, and see that all others are there.

    Raises:
        KafkaAway: the broker did not answer for a minute.
        TopicsMissing: with their names.
    """
    deadline = time.monotonic() + BROKER_WAIT_S
    while True:
        try:
            provision_topics(settings.kafka_bootstrap, [topology.state])
            missing = missing_topics(settings.kafka_bootstrap, topology.needed)
        except KafkaAway:
            if time.monotonic() > deadline:
                raise
            _log.warning("broker_away", bootstrap=settings.kafka_bootstrap)
            time.sleep(BROKER_RETRY_S)
            continue
        if missing:
            raise TopicsMissing(f"topics missing: {', '.join(missing)}; create them with: clawtrace topics provision")
        return


def missing_for_ready(app: StitcherApp) -> list[str]:
    """Say what keeps the stitcher from being ready; nothing when it is."""
    if app.failure is not None or app.crashed:
        return ["giving up; waits to be started again"]
    if app._consumer is None:
        return ["not connected to Kafka yet"]
    if app.rebalancing or not app.local_state.is_restored:
        return ["state is being restored"]
    return []


class _Process:
    """One life of the app."""

    def __init__(self, app: StitcherApp, settings: StitcherSettings, missing: list[str]) -> None:
        self._app = app
        self._missing = missing
        self._stop_asked = asyncio.Event()
        self._watchdog = Watchdog(settings.stitcher_stall_s, time.monotonic)
        self._code = EXIT_OK

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_asked.set)
        starting = asyncio.ensure_future(self._app.start())
        watching = asyncio.ensure_future(self._watch())
        asked = asyncio.ensure_future(self._stop_asked.wait())
        crashed = asyncio.ensure_future(self._app._crashed.wait())
        waits: set[asyncio.Future[Any]] = {starting, watching, asked, crashed}
        while not (watching.done() or asked.done() or crashed.done()):
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if starting in waits and starting.done():
                waits.discard(starting)
                if starting.exception() is not None:
                    _log.error("start_failed", error=repr(starting.exception()))
                    self._code = EXIT_RESTART
                    break
        if watching.done() or crashed.done():
            _log.error("stitcher_ends", reason=repr(self._app.failure or self._app.crash_reason or "stalled"))
            self._code = EXIT_RESTART
        watching.cancel()
        metrics.READY.set(0)
        self._missing[:] = ["stopping"]
        await self._stop()
        for task in (starting, asked, crashed):
            task.cancel()
        return self._code

    async def _stop(self) -> None:
        """Finish and commit what was taken up, then stop Faust; never longer than the two limits together."""
        app = self._app
        if self._code == EXIT_OK and not missing_for_ready(app):
            try:
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    app.consumer.stop_flow()
                    await app.stitcher.drain()
                    await app.consumer.commit()
                    await app.producer.flush()
            except Exception as error:
                _log.error("stop_not_clean", error=repr(error))
                self._code = EXIT_RESTART
        elif self._code == EXIT_OK:
            _log.warning("stopped_while_restoring")
        app.stitcher.close()
        app.local_state.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await app.stop()
        except Exception as error:
            _log.error("stop_failed", error=repr(error))
            self._code = EXIT_RESTART
        if self._code == EXIT_RESTART:
            # Whatever hangs in a thread of the framework must not keep the supervisor waiting; nothing is lost, as
            # the local state is rebuilt.
            os._exit(EXIT_RESTART)

    async def _watch(self) -> None:
        """Return when the process stands still."""
        next_look_at = 0.0
        while True:
            await asyncio.sleep(READINESS_EVERY_S)
            self._missing[:] = missing_for_ready(self._app)
            ready = not self._missing
            metrics.READY.set(ready)
            if time.monotonic() < next_look_at:
                continue
            next_look_at = time.monotonic() + CHECK_EVERY_S
            progress, work_waits = await self._look(ready)
            stalled_s = self._watchdog.stalled_s(progress, work_waits=work_waits)
            if self._watchdog.is_over(stalled_s):
                _log.error("stalled", seconds=round(stalled_s), progress=str(progress))
                return

    async def _look(self, ready: bool) -> tuple[object, bool]:
        """Return what changes when something moves, and whether work waits."""
        app = self._app
        if not ready:
            return (app.consumer_generation_id, app.local_state.num_restored), True
        committed = app.committed_offsets()
        owned = [tp for tp in app.consumer.assignment() if tp.topic == app.topology.events]
        metrics.PARTITIONS.set(len(owned))
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                ends = await app.consumer.highwaters(*owned) if owned else {}
        except Exception as error:
            _log.warning("ends_unknown", error=repr(error))
            return committed, True
        lag = sum(max(0, end - (committed.get(tp) or 0)) for tp, end in ends.items())
        metrics.LAG.set(lag)
        return committed, lag > 0


def exit_code_of(run: Callable[[], int]) -> int:
    """Run; turn what only a restart or an operator can heal into a line in the log and exit code 1."""
    try:
        return run()
    except Exception as error:
        _log.error("stitcher_cannot_run", error=str(error), kind=type(error).__name__)
        return EXIT_RESTART
