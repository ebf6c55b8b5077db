"""Every metric of the notifier, named once.

Upstream: ``stream_jobs.notify`` counts.
Downstream: /metrics of the notifier, dashboards, alert rules.
Guarantee: no label takes values from outside (no tenant, no channel), so the number of series is bounded.
"""

from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from stream_jobs.contracts.channel import ChannelKind

# Counter. Records of the alert topics; outcome = counted | duplicate | unreadable.
RECORDS: Final = Counter("clawtrace_notifier_records_total", "Alert records taken up.", ["outcome"])
# Counter. Alerts that a transaction wrote for a channel; told_as = change | repeat | ack.
TOLD: Final = Counter("clawtrace_notifier_told_total", "Alerts written for a channel.", ["told_as"])
# Counter. Tries; kind = webhook, slack and so on; outcome = sent | retry | dead.
TRIES: Final = Counter("clawtrace_notifier_tries_total", "Tries to deliver a message.", ["kind", "outcome"])
# Counter. Records that retention deleted before they were read; must be 0.
LOST_RECORDS: Final = Counter("clawtrace_notifier_lost_records_total", "Alert records deleted before being read.")
# Gauge. Records of the alert topics not taken up yet.
LAG: Final = Gauge("clawtrace_notifier_lag_records", "Alert records not taken up yet.")
# Gauge. Messages that wait for a try.
WAITING: Final = Gauge("clawtrace_notifier_waiting_messages", "Messages that wait to be delivered.")
# Gauge. Dead letters that nobody has sent again or dropped.
DEAD: Final = Gauge("clawtrace_notifier_dead_messages", "Messages that were given up.")
# Gauge. 1 while this process reads alerts, 0 while it stands by; every process delivers.
READING: Final = Gauge("clawtrace_notifier_reading_processes", "1 while it reads alerts.")
# Histogram. From a message being made, the wait for its group included, to the receiver having it.
LATENCY_SECONDS: Final = Histogram(
    "clawtrace_notifier_latency_seconds",
    "Seconds from a message being made to its arrival.",
    buckets=(0.25, 0.5, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 3600, 86400),
)

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _kind in get_args(ChannelKind):
    for _outcome in ("sent", "retry", "dead"):
        TRIES.labels(_kind, _outcome)
