"""Learns from cards: remembers, scores, tells.

Upstream: the cards topic; rubrics on disk; scores that people and models gave, through Postgres.
Downstream: Postgres, and ``outbox_sender`` for what is to be told.
Guarantee: one transaction holds how far the cards were read, what they taught, and the records to be sent; these are
sent after the commit and marked then. Killed anywhere, no run counts twice or is lost, and what is sent again is what
was sent. A record that cannot be read is counted and passed over; the sink, which reads it too, keeps its bytes. Start
anew after any exception: all truth is in Postgres.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection

from producers.contracts.event import record_key
from stream_jobs import outbox as outbox_rows
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.card import CardBatch
from stream_jobs.contracts.score import Score, ScoreBatch
from stream_jobs.contracts.topics import CARDS, LEARN_ALERTS, SCORES
from stream_jobs.learn import memory, metrics
from stream_jobs.learn.learning import learn
from stream_jobs.learn.rubric_files import RubricFiles
from stream_jobs.learn.tables import marks, outbox
from stream_jobs.log_source import LogSource, NeedsPerson, Record
from stream_jobs.marks import NO_MARK, Mark, Place, read_marks, write_marks
from stream_jobs.outbox import MAX_UNSENT_ROWS, OutboxRow
from stream_jobs.outbox_sender import Sender
from stream_jobs.settings import LearnerSettings

_log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
DROP_OLD_EVERY_S: Final = 600.0
# A person who scores a run waits for the transaction that is under way.
MAX_RECORDS: Final = 25
# Far below a record's size: a score has at most three kilobytes.
MAX_PER_RECORD: Final = 100

_decoder = msgspec.json.Decoder(CardBatch)
_encoder = msgspec.json.Encoder()


class Learner:
    """One stretch of work, from a look at Postgres until something forces another."""

    def __init__(self, settings: LearnerSettings, connection: Connection) -> None:
        self._settings, self._connection = settings, connection
        prefix = settings.topic_prefix
        self._topic = prefix + CARDS.name
        self._source = LogSource(
            settings.kafka_bootstrap,
            [self._topic],
            f"{prefix}clawtrace.learner",
            on_lost=metrics.LOST_RECORDS.inc,
            num_records=MAX_RECORDS,
        )
        self._sender = Sender(settings.kafka_bootstrap, prefix, client_id="clawtrace-learner")
        self._rubrics = RubricFiles(settings.rubrics_folder)
        self._marks: dict[Place, Mark] = {}
        self._looks_at_s = 0.0
        self._dropped_old_at_s = time.monotonic()
        self._num_unreadable_in_a_row = 0

    def open(self) -> None:
        """Find out where to go on, and send what was not sent.

        Raises:
            KafkaAway: try again later.
            NeedsPerson: a person must look.
        """
        with self._connection.begin():
            self._marks = read_marks(self._connection, marks, [self._topic])
        self._send_unsent()
        self._source.open(self._marks)

    def step(self) -> None:
        """Wait a little for cards, learn from them, send what is to be sent."""
        records = self._source.poll(POLL_S)
        if records:
            started_s = time.monotonic()
            self._take_up(records)
            metrics.TRANSACTION_SECONDS.observe(time.monotonic() - started_s)
        if records or self._is_look_due():
            self._send_unsent()

    def close(self) -> None:
        """Let go of the broker."""
        self._source.close()

    def _is_look_due(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._looks_at_s:
            return False
        self._looks_at_s = now_s + self._settings.learner_look_seconds
        metrics.LAG.set(self._source.lag(self._marks))
        metrics.INVALID_RUBRICS.set(self._rubrics.num_invalid)
        with self._connection.begin():
            if now_s - self._dropped_old_at_s > DROP_OLD_EVERY_S:
                self._dropped_old_at_s = now_s
                memory.drop_old(self._connection, self._settings.learner_keep_days)
            return memory.is_anything_unsent(self._connection)

    def _take_up(self, records: Sequence[Record]) -> None:
        """Do one transaction."""
        after, batches = self._read(records)
        scores: list[Score] = []
        alerts: list[Alert] = []
        outcomes: list[str] = []
        with self._connection.begin():
            rev = memory.lock(self._connection) + 1
            for batch, written_at_us in batches:
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
            write_marks(self._connection, marks, after)
            if rows:
                memory.advance(self._connection, rev)
        # Only now: after a failure in between all is read from Postgres again.
        self._marks |= after
        metrics.RECORDS.labels("counted").inc(len(batches))
        metrics.TOLD.labels("score").inc(len(scores))
        metrics.TOLD.labels("alert").inc(len(alerts))
        for outcome in outcomes:
            metrics.CARDS.labels(outcome).inc()

    def _read(self, records: Sequence[Record]) -> tuple[dict[Place, Mark], list[tuple[CardBatch, int]]]:
        """Decode records and leave out repeats; returns marks, and batches with when they were written."""
        after: dict[Place, Mark] = {}
        batches: list[tuple[CardBatch, int]] = []
        for record in records:
            before = after.get(record.place) or self._marks.get(record.place) or NO_MARK
            rev, part = before.rev, before.part
            try:
                batch = _decoder.decode(record.value)
            # msgspec says bad JSON and bad UTF-8 differently, and a hostile depth by RecursionError.
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                self._pass_over(record, error)
            else:
                self._num_unreadable_in_a_row = 0
                # A stitcher that was killed sends again, under other offsets, what it had sent.
                if (batch.rev, batch.part) > (rev, part):
                    batches.append((batch, record.written_at_ms * 1000))
                    rev, part = batch.rev, batch.part
                else:
                    metrics.RECORDS.labels("duplicate").inc()
            after[record.place] = Mark(self._source.topic_ids[record.topic], record.offset + 1, rev, part)
        return after, batches

    def _pass_over(self, record: Record, error: Exception) -> None:
        self._num_unreadable_in_a_row += 1
        if self._num_unreadable_in_a_row > self._settings.learner_max_consecutive_dead:
            raise NeedsPerson(
                f"{self._num_unreadable_in_a_row} records of {record.topic} in a row cannot be read, the last at "
                f"partition {record.partition} offset {record.offset}: {error}"
            )
        metrics.RECORDS.labels("unreadable").inc()
        _log.warning("unreadable", topic=record.topic, offset=record.offset, reason=str(error)[:500])

    def _send_unsent(self) -> None:
        while True:
            with self._connection.begin():
                # Also what people gave, in the order of the transactions: readers drop what comes out of order.
                rows = outbox_rows.unsent(self._connection, outbox)
            if not rows:
                return
            self._sender.send(rows)
            with self._connection.begin():
                outbox_rows.mark_sent(self._connection, outbox, rows)
            if len(rows) < MAX_UNSENT_ROWS:
                return


def score_rows(scores: Iterable[Score], rev: int) -> list[OutboxRow]:
    """Make the records of the scores of one transaction."""
    grouped: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        grouped.setdefault((score.tenant_id, score.agent_id), []).append(score)
    rows: list[OutboxRow] = []
    for (tenant_id, agent_id), found in grouped.items():
        for start in range(0, len(found), MAX_PER_RECORD):
            some = found[start : start + MAX_PER_RECORD]
            batch = ScoreBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=len(rows), scores=some)
            rows.append(OutboxRow(SCORES.name, record_key(tenant_id, agent_id), _encoder.encode(batch)))
    return rows


def _alert_rows(alerts: Iterable[Alert], rev: int) -> list[OutboxRow]:
    grouped: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        grouped.setdefault((alert.tenant_id, alert.agent_id), []).append(alert)
    rows: list[OutboxRow] = []
    for (tenant_id, agent_id), found in grouped.items():
        for start in range(0, len(found), MAX_PER_RECORD):
            some = found[start : start + MAX_PER_RECORD]
            batch = AlertBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=len(rows), alerts=some)
            rows.append(OutboxRow(LEARN_ALERTS.name, record_key(tenant_id, agent_id), _encoder.encode(batch)))
    return rows
