"""Sends records of the outbox, in their order.

Upstream: rows that a transaction has written.
Downstream: the topics of the keeper of budgets, of orders by hand, and of the learner.
Guarantee: returns only when the broker has all of them; what is sent again is byte for byte what was sent, and readers
know it by its number.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from confluent_kafka import KafkaException, Producer
from sqlalchemy import Connection

from infra.runtime.kafka import KafkaAway
from infra.runtime.kafka_security import kafka_connection
from stream_jobs.outbox import MAX_UNSENT_ROWS, OutboxRow, mark_sent, unsent

DELIVERY_TIMEOUT_S: Final = 15.0


class Sender:
    """One producer."""

    def __init__(self, bootstrap: str, topic_prefix: str = "", *, client_id: str = "clawtrace-budgets") -> None:
        self._bootstrap, self._prefix = bootstrap, topic_prefix
        self._producer = Producer(
            {
                **kafka_connection(bootstrap),
                "client.id": client_id,
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
                "linger.ms": 0,
                # As every writer of these topics: all that is said about an agent lies in one partition.
                "partitioner": "murmur2_random",
                "logger": logging.getLogger("librdkafka"),
            }
        )

    def send(self, rows: Sequence[OutboxRow]) -> None:
        """Send rows; return when the broker has them.

        Raises:
            KafkaAway: it has not taken all; make a new sender and begin again.
        """
        failures: list[Any] = []
        try:
            for row in rows:
                self._producer.produce(
                    self._prefix + row.topic,
                    row.value,
                    row.key,
                    headers=[(name, text.encode()) for name, text in (row.headers or {}).items()],
                    on_delivery=lambda error, _: failures.append(error) if error is not None else None,
                )
        except (KafkaException, BufferError) as error:
            raise self._away(error) from error
        left = self._producer.flush(DELIVERY_TIMEOUT_S + 1)
        if left or failures:
            raise self._away(failures[0].str() if failures else "no answer")

    def send_unsent(self, connection: Connection, table: sa.Table) -> None:
        """Send all that an outbox holds unsent, in the order of the transactions: readers drop what comes out of order.

        Raises:
            KafkaAway: as :meth:`send`.
        """
        while True:
            with connection.begin():
                rows = unsent(connection, table)
            if rows:
                self.send(rows)
                with connection.begin():
                    mark_sent(connection, table, rows)
            if len(rows) < MAX_UNSENT_ROWS:
                return

    def _away(self, reason: object) -> KafkaAway:
        return KafkaAway(f"Kafka at {self._bootstrap} did not take what is to be told ({reason})")
