"""Topics of a test's own on the shared broker, and a reader of server-sent events."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from api.live.records import LIVE_TOPICS
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from producers.contracts.guard import GuardMessage, Verdict
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.contracts.trace import Trace, TraceBatch
from tests.integration.doors import DEADLINE_S, KAFKA_TIMEOUT_S

AT_US = 1_780_000_000_000_000
SPANS, TRACES, ALERTS, GUARD = (spec.name for spec in LIVE_TOPICS)


@dataclass
class OwnTopics:
    """The live topics under a prefix of their own."""

    bootstrap: str
    prefix: str

    def send(self, topic: str, partition: int, *values: msgspec.Struct | bytes) -> None:
        """Write records; return when the broker has them."""
        failures: list[Any] = []
        # Idempotent like the real writers: what has to be sent again would else lie behind what came after it.
        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
        )
        for value in values:
            payload = value if isinstance(value, bytes) else msgspec.json.encode(value)
            producer.produce(
                f"{self.prefix}{topic}",
                payload,
                partition=partition,
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        assert producer.flush(DEADLINE_S) == 0
        assert not failures


@contextmanager
def own_topics(stack: StackSettings) -> Iterator[OwnTopics]:
    """Make the topics, and delete them afterwards."""
    prefix = f"live{secrets.token_hex(4)}."
    specs = [replace(spec, name=f"{prefix}{spec.name}", partitions=2) for spec in LIVE_TOPICS]
    provision_topics(stack.kafka_bootstrap, specs)
    yield OwnTopics(stack.kafka_bootstrap, prefix)
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    for deleted in admin.delete_topics([spec.name for spec in specs]).values():
        deleted.result(KAFKA_TIMEOUT_S)


def span_of(tenant_id: str, span_id: str, rev: int, **more: Any) -> Span:
    """A span."""
    values: dict[str, Any] = {
        "agent_id": "agent",
        "trace_id": f"{tenant_id}-trace",
        "kind": "model_call",
        "operation_name": "chat",
        "name": "chat sim",
        "status": "ok",
        "trace_date": "2026-05-28",
        "started_at_us": AT_US + rev,
        "link_rev": rev,
        **more,
    }
    return Span(tenant_id=tenant_id, span_id=span_id, rev=rev, **values)


def spans_of(tenant_id: str, rev: int, *span_ids: str, part: int = 0, **more: Any) -> SpanBatch:
    """A record of spans."""
    spans = [span_of(tenant_id, span_id, rev, **more) for span_id in span_ids]
    return SpanBatch(tenant_id=tenant_id, agent_id=more.get("agent_id", "agent"), rev=rev, part=part, spans=spans)


def traces_of(tenant_id: str, rev: int, trace_id: str, **more: Any) -> TraceBatch:
    """A record of one trace."""
    values: dict[str, Any] = {"name": "Do it", "category": "work", "status": "running", **more}
    trace = Trace(
        tenant_id=tenant_id,
        agent_id="agent",
        trace_id=trace_id,
        trace_date="2026-05-28",
        started_at_us=AT_US,
        rev=rev,
        **values,
    )
    return TraceBatch(tenant_id=tenant_id, agent_id="agent", rev=rev, traces=[trace])


def alerts_of(tenant_id: str, rev: int, alert_id: str) -> AlertBatch:
    """A record of one alert."""
    alert = Alert(
        tenant_id=tenant_id,
        agent_id="agent",
        alert_id=alert_id,
        rule="run_cost",
        severity="critical",
        state="alert",
        message="Too much.",
        at_us=AT_US,
        rev=rev,
    )
    return AlertBatch(tenant_id=tenant_id, agent_id="agent", rev=rev, alerts=[alert])


def verdict_of(tenant_id: str, rev: int, verdict_id: str) -> GuardMessage:
    """A verdict."""
    body = Verdict(
        verdict_id=verdict_id,
        scope="agent",
        scope_id="agent",
        action="abort",
        reason="It loops.",
        expires_at_us=AT_US + 60_000_000,
    )
    return GuardMessage(tenant_id=tenant_id, agent_id="agent", rev=rev, issued_at_us=AT_US, body=body)


@dataclass(frozen=True)
class LiveEvent:
    """One event as a browser would have it."""

    name: str
    event_id: str
    data: dict[str, Any]
    at_s: float


@dataclass
class Watcher:
    """A client of GET /v1/live on a thread of its own."""

    status: int = 0
    text: str = ""
    last_id: str = ""
    events: list[LiveEvent] = field(default_factory=list)
    is_open: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def span_ids(self) -> list[str]:
        """Ids of the spans that came."""
        return [event.data["span_id"] for event in self.events if event.name == "span"]

    def read(self, response: httpx2.Response) -> None:
        """Read until the stream is over."""
        name, data = "", ""
        for line in response.iter_lines():
            self.text += line + "\n"
            field_name, _, value = line.partition(": ")
            match field_name:
                case "event":
                    name = value
                case "data":
                    data = value
                case "id":
                    self.last_id = value
                case "" if line == "":
                    if data:
                        self.events.append(LiveEvent(name, self.last_id, json.loads(data), time.monotonic()))
                    name, data = "", ""
                    # The first block is the greeting: from here on nothing is missed.
                    self.is_open.set()


@contextmanager
def watching(base_url: Any, headers: dict[str, str], **parameters: Any) -> Iterator[Watcher]:
    """Watch until the block is left."""
    watcher = Watcher()
    client = httpx2.Client(base_url=base_url, timeout=DEADLINE_S, trust_env=False)
    sockets: list[socket.socket] = []

    def run() -> None:
        try:
            with client.stream("GET", "/v1/live", headers=headers, params=parameters) as response:
                watcher.status = response.status_code
                sockets.append(response.extensions["network_stream"].get_extra_info("socket"))
                watcher.read(response)
        except (httpx2.HTTPError, httpx2.StreamError):
            pass
        finally:
            watcher.is_open.set()
            watcher.is_over.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert watcher.is_open.wait(DEADLINE_S), "the stream did not open"
        yield watcher
    finally:
        for one in sockets:
            # Closing alone would not wake the thread that reads.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        client.close()
