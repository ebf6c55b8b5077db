"""The clock: writes a tick to every partition of the events topic, so that time passes in the stream too.

Upstream: this process's clock.
Downstream: the stitcher closes what has gone silent and lets rules look; the sink passes ticks over.
Guarantee: a tick that the broker does not take in time is dropped, never sent late. Several gateways may tick at once:
a reader ignores what is not newer than the tick before.
"""

import logging
import threading
import time
from typing import Any, Final

import structlog
from confluent_kafka import KafkaException, Producer

from infra.runtime.kafka_security import kafka_connection
from producers.contracts.event import TICKER_AGENT_ID, TICKER_TENANT_ID, encode_event_batch, make_tick, record_key
from producers.metrics import TICKS
from producers.settings import GatewaySettings

_log = structlog.get_logger(__name__)

LOOK_TIMEOUT_S: Final = 1.0
FLUSH_TIMEOUT_S: Final = 1.0


class Ticker:
    """One thread with a producer of its own: a topic that is away must not hold back the events' producer."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._topic = settings.gateway_events_topic
        self._every_s = settings.gateway_tick_s
        self._bootstrap = settings.kafka_bootstrap
        self._reason = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begin, unless the settings say that nobody wants ticks."""
        if self._every_s:
            self._thread.start()

    def close(self) -> None:
        """Stop; waits for a look at the broker that is under way, at most two seconds."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(LOOK_TIMEOUT_S + FLUSH_TIMEOUT_S)

    def _run(self) -> None:
        producer = Producer(_configuration(self._bootstrap, self._every_s))
        # On the round seconds, so that the ticks of several gateways come together.
        while not self._stopping.wait(self._every_s - time.time() % self._every_s):
            try:
                self._tick(producer, time.time_ns() // 1_000)
            except (KafkaException, BufferError) as error:
                self._complain(str(error))
        producer.flush(FLUSH_TIMEOUT_S)

    def _tick(self, producer: Producer, at_us: int) -> None:
        topic = producer.list_topics(self._topic, timeout=LOOK_TIMEOUT_S).topics[self._topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        value = encode_event_batch(make_tick(at_us))
        key = record_key(TICKER_TENANT_ID, TICKER_AGENT_ID)
        for partition in topic.partitions:
            producer.produce(self._topic, value, key, partition, on_delivery=self._on_delivery)
        producer.flush(FLUSH_TIMEOUT_S)

    def _on_delivery(self, error: Any, _: Any) -> None:
        TICKS.labels("lost" if error is not None else "sent").inc()
        if error is not None:
            self._complain(error.str())
        else:
            self._reason = ""

    def _complain(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            _log.warning("no_tick", topic=self._topic, reason=reason)


def _configuration(bootstrap: str, every_s: float) -> dict[str, Any]:
    return {
        **kafka_connection(bootstrap),
        "client.id": "clawtrace-ticker",
        "acks": "all",
        "linger.ms": 0,
        "message.timeout.ms": max(1_000, int(every_s * 500)),
        "reconnect.backoff.max.ms": 1_000,
        "logger": logging.getLogger("librdkafka"),
    }
