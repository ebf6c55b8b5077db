"""Every metric of the gateway, named once.

Upstream: the gateway counts.
Downstream: /metrics of the gateway, dashboards, alert rules.
Guarantee: no label takes values from outside (no tenant, no key), so the number of series is bounded.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Counter. Batches answered with 202.
BATCHES: Final = Counter("clawtrace_gateway_batches_total", "Batches acknowledged.")
# Counter. Events in acknowledged batches; outcome = accepted | rejected.
EVENTS: Final = Counter("clawtrace_gateway_events_total", "Events of acknowledged batches.", ["outcome"])
# Counter. Bytes of bodies after inflation.
BODY_BYTES: Final = Counter("clawtrace_gateway_body_bytes_total", "Bytes of request bodies, inflated.")
# Counter. Requests not answered with 202; code = end of the problem's type.
REFUSALS: Final = Counter("clawtrace_gateway_refusals_total", "Requests refused.", ["code"])
# Counter. Things kept in the dead-letter topic; kind = event | body.
DEAD_LETTERS: Final = Counter("clawtrace_gateway_dead_letters_total", "Dead letters written.", ["kind"])
# Counter. Batches that only a slow second reading could take apart.
SALVAGED: Final = Counter("clawtrace_gateway_salvaged_batches_total", "Batches that needed the slow reading.")
# Histogram. From the body being read to the broker's last delivery report.
ACK_SECONDS: Final = Histogram(
    "clawtrace_gateway_ack_seconds",
    "Seconds from body read to broker acknowledgement.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15),
)
# Gauge. Bytes handed to the producer and not acknowledged yet.
QUEUE_BYTES: Final = Gauge("clawtrace_gateway_queue_bytes", "Bytes waiting for the broker.")
# Gauge. 1 while the broker answers, else 0.
BROKER_UP: Final = Gauge("clawtrace_gateway_broker_up", "1 while the broker answers.")
# Gauge. Streams and polls of guards that are open.
GUARD_WAITING: Final = Gauge("clawtrace_gateway_guard_waiting", "Guards that wait for a change.")
# Counter. States told to guards; way = stream | poll.
GUARD_STATES: Final = Counter("clawtrace_gateway_guard_states_total", "States told to guards.", ["way"])
# Counter. Records of the guard topic; outcome = read | unreadable.
GUARD_MESSAGES: Final = Counter("clawtrace_gateway_guard_messages_total", "Records of the guard topic.", ["outcome"])
# Gauge. 1 while the guard topic is read.
GUARD_FEED_UP: Final = Gauge("clawtrace_gateway_guard_feed_up", "1 while the guard topic is read.")
# Gauge. 1 while the newest version of the price list is broken and the last good one is used.
GUARD_PRICES_BROKEN: Final = Gauge("clawtrace_gateway_prices_broken", "1 while the price list cannot be read.")
# Counter. Payloads put apart; outcome = stored | known.
BLOBS: Final = Counter("clawtrace_gateway_blobs_total", "Payloads put apart.", ["outcome"])
# Counter. Bytes of payloads stored for the first time.
BLOB_BYTES: Final = Counter("clawtrace_gateway_blob_bytes_total", "Bytes of payloads put apart.")
# Counter. Ticks written to the events topic, one per partition; outcome = sent | lost.
TICKS: Final = Counter("clawtrace_gateway_ticks_total", "Ticks of the clock.", ["outcome"])

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _outcome in ("accepted", "rejected"):
    EVENTS.labels(_outcome)
for _kind in ("event", "body"):
    DEAD_LETTERS.labels(_kind)
for _outcome in ("sent", "lost"):
    TICKS.labels(_outcome)
REFUSALS.labels("unavailable")
