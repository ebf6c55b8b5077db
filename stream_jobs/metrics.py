"""Every metric of the stitcher, named once.

Upstream: ``stream_jobs.processors`` counts.
Downstream: /metrics of the stitcher, dashboards, alert rules.
Guarantee: no label takes values from outside (no tenant, no agent), so the number of series is bounded.
"""

from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from stream_jobs.contracts.alert import AlertRule, AlertState

# Counter. Records of the events topic that were taken up; outcome = stitched | duplicate | dead_letter | tick |
# old_tick.
RECORDS: Final = Counter("clawtrace_stitcher_records_total", "Source records taken up.", ["outcome"])
# Counter. Events in stitched records.
EVENTS: Final = Counter("clawtrace_stitcher_events_total", "Events in stitched records.")
# Counter. Agents on which a tick failed; the log says why.
FAILED_TICKS: Final = Counter("clawtrace_stitcher_failed_ticks_total", "Agents on which a tick failed.")
# Counter. Output records handed to the broker; topic = spans | traces | alerts.
OUTPUTS: Final = Counter("clawtrace_stitcher_outputs_total", "Output records sent.", ["topic"])
# Counter. Outputs that were not sent because what they are about was erased; kind = spans | traces | alerts | cards.
ERASED_OUTPUTS: Final = Counter("clawtrace_stitcher_erased_outputs_total", "Outputs about what was erased.", ["kind"])
# Counter. Dead letters; kind = record (undecodable, or the core failed on it) | event (refused by the core).
DEAD_LETTERS: Final = Counter("clawtrace_stitcher_dead_letters_total", "Dead letters sent.", ["kind"])
# Counter. What the core counted; what = the core's own words, a closed set (duplicates, usage mismatches and so on).
CORE: Final = Counter("clawtrace_stitcher_core_counts_total", "What the core counted.", ["what"])
# Counter. Changes of alerts that were sent; rule and state as in the contract.
ALERTS: Final = Counter("clawtrace_stitcher_alert_changes_total", "Changes of alerts.", ["rule", "state"])
# Counter. Keys of the state written or deleted, journals included.
STATE_WRITES: Final = Counter("clawtrace_stitcher_state_writes_total", "State keys written or deleted.")
# Counter. Records of the changelog read back at assignments, to bring the local files up to its end.
RESTORED: Final = Counter("clawtrace_stitcher_restored_records_total", "Changelog records read back.")
# Counter. Journals applied again because a crash may have come between a journal and its changes.
REDONE_JOURNALS: Final = Counter("clawtrace_stitcher_redone_journals_total", "Journals with changes applied again.")
# Counter. Spans whose texts were left out because one record could not hold them.
CUT_SPANS: Final = Counter("clawtrace_stitcher_cut_spans_total", "Spans sent without their texts: too large.")
# Counter. Offsets that were left out of a partition and stayed missing after reading again; must be 0.
LOST_RECORDS: Final = Counter("clawtrace_stitcher_lost_records_total", "Source records missing in the topic.")
# Gauge. Source records that are not committed yet, over all partitions of this process.
LAG: Final = Gauge("clawtrace_stitcher_lag_records", "Source records not committed yet.")
# Gauge. Partitions of the events topic that this process works on.
PARTITIONS: Final = Gauge("clawtrace_stitcher_owned_partitions", "Partitions that this process works on.")
# Gauge. Records whose outputs wait for the broker.
IN_FLIGHT: Final = Gauge("clawtrace_stitcher_in_flight_records", "Records waiting for the broker.")
# Gauge. 1 when the newest version of a file is broken and the last good one is used; file = prices | rules.
BROKEN_FILE: Final = Gauge("clawtrace_stitcher_config_broken_files", "1 while a file is broken.", ["file"])
# Gauge. 1 while what tenants set of rules cannot be read from Postgres and the last known holds.
RULE_SETTINGS_STALE: Final = Gauge("clawtrace_stitcher_rule_settings_stale", "1 while the last known rows hold.")
# Gauge. What tenants set of rules and this version cannot take; those rows are left out.
RULE_SETTINGS_REFUSED: Final = Gauge("clawtrace_stitcher_rule_settings_refused_rows", "Rows that are left out.")
# Gauge. 1 while partitions are owned, state is restored and records flow.
READY: Final = Gauge("clawtrace_stitcher_ready_processes", "1 while ready.")
# Histogram. From the gateway taking a batch to the broker's acknowledgement of all that follows from it.
LATENCY_SECONDS: Final = Histogram(
    "clawtrace_stitcher_latency_seconds",
    "Seconds from receipt at the gateway to acknowledged outputs.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
# Histogram. Time the pure core takes for one record.
CORE_SECONDS: Final = Histogram(
    "clawtrace_stitcher_core_seconds",
    "Seconds in the core for one record.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _outcome in ("stitched", "duplicate", "dead_letter", "tick", "old_tick"):
    RECORDS.labels(_outcome)
for _kind in ("record", "event"):
    DEAD_LETTERS.labels(_kind)
for _rule in get_args(AlertRule):
    for _state in get_args(AlertState):
        ALERTS.labels(_rule, _state)
