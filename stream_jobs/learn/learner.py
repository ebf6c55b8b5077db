"""Learns from cards: remembers, scores, tells.

Upstream: the cards topic; rubrics on disk; scores that people and models gave, through Postgres.
Downstream: Postgres, and ``outbox_sender`` for what is to be told.
Guarantee: one transaction holds how far the cards were read, what they taught, and the records to be sent; these are
sent after the commit and marked then. Killed anywhere, no run counts twice or is lost, and what is sent again is what
was sent. A record that cannot be read is counted and passed over; the sink, which reads it too, keeps its bytes. Start
anew after any exception: all truth is in Postgres.
"""

import time
from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection

from stream_jobs import outbox as outbox_rows
from stream_jobs.batch_reader import BatchReader, Reading
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.card import CardBatch
from stream_jobs.contracts.score import Score, ScoreBatch
from stream_jobs.contracts.topics import CARDS, LEARN_ALERTS, SCORES
from stream_jobs.learn import memory, metrics
from stream_jobs.learn.learning import learn
from stream_jobs.learn.rubric_files import RubricFiles
from stream_jobs.learn.tables import marks, outbox
from stream_jobs.log_source import LogSource
from stream_jobs.outbox import OutboxRow
from stream_jobs.outbox_sender import Sender
from stream_jobs.settings import LearnerSettings

DROP_OLD_EVERY_S: Final = 600.0
# A person who scores a run waits for the transaction that is under way.
MAX_RECORDS: Final = 25
# Nobody waits for a score by the millisecond; many small answers cost the broker more.
FETCH_BYTES: Final = 64 * 1024
# Far below a record's size: a score has at most three kilobytes.
MAX_PER_RECORD: Final = 100

_decoder = msgspec.json.Decoder(CardBatch)


class Learner:
    """One stretch of work, from a look at Postgres until something forces another."""

    def __init__(self, settings: LearnerSettings, connection: Connection) -> None:
        self._settings, self._connection = settings, connection
        prefix = settings.topic_prefix
        source = LogSource(
            settings.kafka_bootstrap,
            [prefix + CARDS.name],
            f"{prefix}clawtrace.learner",
            on_lost=metrics.LOST_RECORDS.inc,
            num_records=MAX_RECORDS,
            fetch_bytes=FETCH_BYTES,
        )
        self._reader = BatchReader(
            source, marks, _decoder.decode, max_unreadable_in_a_row=settings.learner_max_consecutive_dead
        )
        self._sender = Sender(settings.kafka_bootstrap, prefix, client_id="clawtrace-learner")
        self._rubrics = RubricFiles(settings.rubrics_folder)
        self._looks_at_s = 0.0
        self._dropped_old_at_s = time.monotonic()

    def open(self) -> None:
        """Find out where to go on, and send what was not sent.

        Raises:
            KafkaAway: try again later.
            NeedsPerson: a person must look.
        """
        with self._connection.begin():
            self._reader.find_place(self._connection)
        self._sender.send_unsent(self._connection, outbox)
        self._reader.open()

    def step(self) -> None:
        """Wait a little for cards, learn from them, send what is to be sent."""
        reading = self._reader.read()
        if reading.after:
            started_s = time.monotonic()
            self._take_up(reading)
            metrics.TRANSACTION_SECONDS.observe(time.monotonic() - started_s)
        if reading.after or self._is_look_due():
            self._sender.send_unsent(self._connection, outbox)

    def close(self) -> None:
        """Let go of the broker."""
        self._reader.close()

    def _is_look_due(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._looks_at_s:
            return False
        self._looks_at_s = now_s + self._settings.learner_look_seconds
        metrics.LAG.set(self._reader.lag())
        metrics.INVALID_RUBRICS.set(self._rubrics.num_invalid)
        with self._connection.begin():
            if now_s - self._dropped_old_at_s > DROP_OLD_EVERY_S:
                self._dropped_old_at_s = now_s
                memory.drop_old(self._connection, self._settings.learner_keep_days)
            return memory.is_anything_unsent(self._connection)

    def _take_up(self, reading: Reading[CardBatch]) -> None:
        """Do one transaction."""
        scores: list[Score] = []
        alerts: list[Alert] = []
        outcomes: list[str] = []
        with self._connection.begin():
            rev = memory.lock(self._connection) + 1
            for batch, written_at_us in reading.batches:
                for card in batch.cards:
                    learned = learn(
                        self._connection,
                        card,
                        self._rubrics.find(card.tenant_id, card.agent_id),
                        written_at_us=written_at_us,
                        rev=rev,
                        keep_days=self._settings.learner_keep_days,
                    )
                    outcomes.append(learned.outcome)
                    scores += learned.scores
                    alerts += [
                        it.as_alert(card.tenant_id, card.agent_id, at_us=written_at_us, rev=rev)
                        for it in learned.findings
                    ]
            rows = [*score_rows(scores, rev), *_alert_rows(alerts, rev)]
            outbox_rows.put(self._connection, outbox, rows)
            self._reader.write(self._connection, reading)
            if rows:
                memory.advance(self._connection, rev)
        self._reader.advance(reading)
        metrics.RECORDS.labels("counted").inc(len(reading.batches))
        metrics.RECORDS.labels("duplicate").inc(reading.num_repeated)
        metrics.RECORDS.labels("unreadable").inc(len(reading.unreadable))
        metrics.TOLD.labels("score").inc(len(scores))
        metrics.TOLD.labels("alert").inc(len(alerts))
        for outcome in outcomes:
            metrics.CARDS.labels(outcome).inc()


def score_rows(scores: Iterable[Score], rev: int) -> list[OutboxRow]:
    """Make the records of the scores of one transaction."""

    def batch_of(tenant_id: str, agent_id: str, part: int, some: list[Score]) -> ScoreBatch:
        return ScoreBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, scores=some)

    return outbox_rows.batch_rows(SCORES.name, scores, MAX_PER_RECORD, batch_of)


def _alert_rows(alerts: Iterable[Alert], rev: int) -> list[OutboxRow]:
    def batch_of(tenant_id: str, agent_id: str, part: int, some: list[Alert]) -> AlertBatch:
        return AlertBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, alerts=some)

    return outbox_rows.batch_rows(LEARN_ALERTS.name, alerts, MAX_PER_RECORD, batch_of)
