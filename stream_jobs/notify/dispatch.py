"""Delivers messages that are due.

Upstream: messages that ``planner`` wrote.
Downstream: ``deliver``; what came of it, in Postgres.
Guarantee: a message is locked by the transaction that delivers it and marked by the same: killed in between, it is
delivered again under the same id, never lost, and two processes never deliver one at the same time. Of one alert a
channel is told in order: a message waits until no older one of its alerts does. After the last try, or when no try can
help, it is a dead letter with its reason.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
import structlog
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import SQLAlchemyError

from infra.runtime.database import away
from stream_jobs.contracts.channel import InvalidChannel
from stream_jobs.core.notify.backoff import wait_s
from stream_jobs.core.notify.message import Message
from stream_jobs.notify import metrics, store
from stream_jobs.notify.deliver import Deliverer, Outcome
from stream_jobs.notify.sealing import open_target
from stream_jobs.notify.tables import channels, deliveries, messages
from stream_jobs.notify.vault import Vault, VaultClosed
from stream_jobs.settings import NotifierSettings

_log = structlog.get_logger(__name__)

IDLE_S: Final = 0.2
AWAY_S: Final = 2.0
COUNT_EVERY_S: Final = 5.0
STOP_WITHIN_S: Final = 8.0


class Dispatcher:
    """Threads that deliver; each with a connection of its own, one channel never by two of them."""

    def __init__(
        self,
        settings: NotifierSettings,
        engine: Engine,
        deliverer: Deliverer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings, self._engine, self._deliverer, self._chance = settings, engine, deliverer, chance
        self._vault = Vault(settings.notify_key_file)
        self._stop = threading.Event()
        self._choosing = threading.Lock()
        self._busy: set[str] = set()
        self._idle_until_s = 0.0
        self._counts_at_s = 0.0
        self._threads = [
            threading.Thread(target=self._run, name=f"sender-{number}", daemon=True)
            for number in range(settings.notify_num_senders)
        ]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every thread end what it is at; what is cut off is delivered again later."""
        self._stop.set()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        for thread in self._threads:
            thread.join(max(deadline_s - time.monotonic(), 0))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if not self.deliver_one():
                    self._stop.wait(IDLE_S)
            except SQLAlchemyError as error:
                _log.warning("waiting", reason=str(away(error)))
                self._stop.wait(AWAY_S)

    def deliver_one(self) -> bool:
        """Deliver one message that is due; returns whether there was one."""
        channel_id = ""
        try:
            with self._engine.connect() as connection, connection.begin():
                with self._choosing:
                    row = self._choose(connection)
                    if row is None:
                        return False
                    channel_id = row.channel_id
                    self._busy.add(channel_id)
                self._note(connection, row, self._try(connection, row))
        finally:
            # After the commit: what waited for this message can be seen to wait no more.
            if channel_id:
                with self._choosing:
                    self._busy.discard(channel_id)
                    self._idle_until_s = 0.0
        return True

    def _choose(self, connection: Connection) -> Row[Any] | None:
        now_s = time.monotonic()
        if now_s < self._idle_until_s:
            return None
        if now_s >= self._counts_at_s:
            self._counts_at_s = now_s + COUNT_EVERY_S
            _count(connection)
        mine, other = deliveries.alias(), deliveries.alias()
        older = messages.alias()
        row = connection.execute(
            sa.select(
                messages,
                channels.c.tenant_id,
                channels.c.name,
                channels.c.kind,
                channels.c.sealed,
                sa.extract("epoch", messages.c.made_at).label("made_at_s"),
            )
            .join_from(messages, channels, messages.c.channel_id == channels.c.channel_id)
            .where(
                messages.c.state == "waiting",
                messages.c.due_at <= sa.func.clock_timestamp(),
                messages.c.channel_id.not_in(sorted(self._busy)),
                ~sa.exists().where(
                    mine.c.message == messages.c.id,
                    other.c.channel_id == messages.c.channel_id,
                    other.c.alert_id == mine.c.alert_id,
                    older.c.id == other.c.message,
                    older.c.id < messages.c.id,
                    older.c.state == "waiting",
                ),
            )
            .order_by(messages.c.due_at, messages.c.id)
            .limit(1)
            .with_for_update(skip_locked=True, of=messages)
        ).first()
        if row is None:
            self._idle_until_s = now_s + IDLE_S
        return row

    def _try(self, connection: Connection, row: Row[Any]) -> Outcome:
        try:
            target = open_target(self._vault, row.sealed, row.channel_id)
            message = Message(
                message_id=row.message_id,
                tenant_id=row.tenant_id,
                channel_name=row.name,
                group_key=row.group_key,
                made_at_us=int(row.made_at_s * 1_000_000),
                base_url=self._settings.notify_base_url,
                told=store.told_in(connection, row.id),
            )
            return self._deliverer.deliver(target, message)
        except (VaultClosed, InvalidChannel) as error:
            return Outcome(False, True, str(error))
        except SQLAlchemyError:
            raise
        except Exception as error:
            # One message that we cannot write must not end the thread that all others wait for.
            _log.exception("cannot_be_written", message=row.message_id, kind=row.kind)
            return Outcome(False, False, f"the message cannot be written ({type(error).__name__}); the log says more")

    def _note(self, connection: Connection, row: Row[Any], outcome: Outcome) -> None:
        num_tries = row.num_tries + 1
        now = sa.func.clock_timestamp()
        values: dict[str, object] = {"num_tries": num_tries, "reason": outcome.reason}
        if outcome.is_sent:
            told_as = "sent"
            values |= {"state": "sent", "done_at": now}
            metrics.LATENCY_SECONDS.observe(max(time.time() - float(row.made_at_s), 0))
        elif not outcome.is_passing or num_tries >= self._settings.notify_max_tries:
            told_as = "dead"
            values |= {"state": "dead", "done_at": now}
        else:
            told_as = "retry"
            wait = wait_s(num_tries, self._settings.notify_first_wait_seconds, self._chance(), outcome.retry_after_s)
            values |= {"due_at": now + sa.func.make_interval(0, 0, 0, 0, 0, 0, wait)}
        connection.execute(messages.update().where(messages.c.id == row.id).values(**values))
        metrics.TRIES.labels(row.kind, told_as).inc()
        if not outcome.is_sent:
            _log.warning("not_delivered", message=row.message_id, kind=row.kind, outcome=told_as, reason=outcome.reason)


def _count(connection: Connection) -> None:
    found = connection.execute(
        sa.select(messages.c.state, sa.func.count()).where(messages.c.state != "sent").group_by(messages.c.state)
    )
    counts: dict[str, int] = {row[0]: row[1] for row in found}
    metrics.WAITING.set(counts.get("waiting", 0))
    metrics.DEAD.set(counts.get("dead", 0))
