"""Reads alerts and writes down whom to tell.

Upstream: alerts of the stitcher, of the keeper of budgets, of the learner; channels and acknowledgements in Postgres.
Downstream: messages in Postgres, which ``dispatch`` delivers.
Guarantee: one transaction holds how far the topics were read, what is open in each channel and the messages to be
delivered: killed anywhere, nothing is lost or written twice. A channel hears of nothing that was written before it was
made. A record that cannot be read is counted and passed over; the sink, which reads it too, keeps its bytes. Too many
of them in a row stop it: the fault is then ours, and going on would lose alerts.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection

from stream_jobs.batch_reader import BatchReader, Reading
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.topics import ALERTS, BUDGET_ALERTS, LEARN_ALERTS
from stream_jobs.core.notify.message import Told
from stream_jobs.core.notify.plan import acknowledged, again, next_step
from stream_jobs.log_source import LogSource
from stream_jobs.notify import metrics, store
from stream_jobs.notify.store import StoredAlert, StoredChannel
from stream_jobs.notify.tables import marks
from stream_jobs.settings import NotifierSettings

DROP_OLD_EVERY_S: Final = 600.0
MAX_RECORDS: Final = 200
# A message is on its way for longer; many small answers cost the broker more.
FETCH_BYTES: Final = 64 * 1024
# Clocks of broker and database differ a little.
CLOCKS_DIFFER: Final = timedelta(seconds=2)

_decoder = msgspec.json.Decoder(AlertBatch)


class Planner:
    """One stretch of work, from a look at Postgres until something forces another."""

    def __init__(self, settings: NotifierSettings, connection: Connection) -> None:
        self._settings, self._connection = settings, connection
        prefix = settings.topic_prefix
        source = LogSource(
            settings.kafka_bootstrap,
            [prefix + spec.name for spec in (ALERTS, BUDGET_ALERTS, LEARN_ALERTS)],
            f"{prefix}clawtrace.notifier",
            on_lost=metrics.LOST_RECORDS.inc,
            num_records=MAX_RECORDS,
            fetch_bytes=FETCH_BYTES,
        )
        self._reader = BatchReader(
            source, marks, _decoder.decode, max_unreadable_in_a_row=settings.notify_max_consecutive_dead
        )
        self._looks_at_s = 0.0
        self._dropped_old_at_s = time.monotonic()

    def open(self) -> None:
        """Find out where to go on.

        Raises:
            KafkaAway: try again later.
            NeedsPerson: a person must look.
        """
        with self._connection.begin():
            self._reader.find_place(self._connection)
        self._reader.open()

    def step(self) -> None:
        """Wait a little for alerts, write down whom to tell, and what is to be told again."""
        reading = self._reader.read()
        if reading.after:
            self._take_up(reading)
        now_s = time.monotonic()
        if now_s < self._looks_at_s:
            return
        self._looks_at_s = now_s + self._settings.notify_look_seconds
        metrics.LAG.set(self._reader.lag())
        with self._connection.begin():
            self._tell_again()
            if now_s - self._dropped_old_at_s > DROP_OLD_EVERY_S:
                self._dropped_old_at_s = now_s
                store.drop_old(self._connection)

    def close(self) -> None:
        """Let go of the broker."""
        self._reader.close()

    def _take_up(self, reading: Reading[AlertBatch]) -> None:
        alerts = [
            (alert, datetime.fromtimestamp(written_at_us / 1e6, UTC))
            for batch, written_at_us in reading.batches
            for alert in batch.alerts
        ]
        with self._connection.begin():
            channels = store.channels_of(self._connection, {alert.tenant_id for alert, _ in alerts})
            if channels:
                self._plan(channels, alerts)
            self._reader.write(self._connection, reading)
        self._reader.advance(reading)
        metrics.RECORDS.labels("counted").inc(len(reading.batches))
        metrics.RECORDS.labels("duplicate").inc(reading.num_repeated)
        metrics.RECORDS.labels("unreadable").inc(len(reading.unreadable))

    def _plan(self, channels: Sequence[StoredChannel], alerts: Sequence[tuple[Alert, datetime]]) -> None:
        alert_ids = {alert.alert_id for alert, _ in alerts}
        stored = store.open_alerts(self._connection, alert_ids)
        snoozed = store.snoozed(self._connection, alert_ids)
        opened = {place: it.opened for place, it in stored.items()}
        for channel in channels:
            for alert, written_at in alerts:
                place = (channel.channel_id, alert.alert_id)
                if alert.tenant_id != channel.tenant_id or written_at < channel.created_at - CLOCKS_DIFFER:
                    continue
                before = opened.pop(place, None)
                told, now_open = next_step(channel.filters, alert, before)
                if now_open is not None:
                    opened[place] = now_open
                quiet_until = snoozed.get((alert.tenant_id, alert.alert_id))
                if now_open is None and before is not None:
                    store.close(self._connection, *place)
                elif now_open is not None and now_open != before:
                    # Told when the time is over, if it still lasts then.
                    store.write_open(self._connection, channel, now_open, snoozed_until=quiet_until)
                if told is not None and (quiet_until is None or told.is_over):
                    self._put(channel, told, 0)

    def _tell_again(self) -> None:
        for channel, alert in store.due_repeats(self._connection):
            self._put(channel, again(alert.opened), alert.num_repeats + 1)
        for channel, alert, acked_by in store.new_acks(self._connection):
            self._acknowledge(channel, alert, acked_by)

    def _acknowledge(self, channel: StoredChannel, alert: StoredAlert, acked_by: str) -> None:
        # Only an incident has such a state; a chat would hear of what its own people did.
        if channel.kind == "pagerduty":
            self._put(channel, acknowledged(alert.opened, acked_by), alert.num_repeats)

    def _put(self, channel: StoredChannel, told: Told, num_repeat: int) -> None:
        if store.put(
            self._connection,
            channel,
            told,
            num_repeat=num_repeat,
            group_seconds=self._settings.notify_group_seconds,
        ):
            metrics.TOLD.labels(told.told_as).inc()
