"""Every metric of the sink and of upkeep.

Upstream: lakehouse.sink and lakehouse.maintenance.
Downstream: /metrics on the ports ``sink_metrics`` and ``upkeep_metrics``.
Guarantee: one home for names, types and meanings.
"""

from prometheus_client import Counter, Gauge, Histogram

from lakehouse.contracts.tables import TABLES

PROCEDURES = ("delete_old_rows", "optimize", "expire_snapshots", "remove_orphan_files")

# Counter: records read from the log; a restart reads some again. Tags: topic
RECORDS = Counter("clawtrace_sink_records_total", "Records read from the log.", ["topic"])
# Time: from a record being written to its topic until its rows were committed. Tags: table
FRESHNESS_SECONDS = Histogram(
    "clawtrace_sink_freshness_seconds",
    "Time from a record being written to the log until its rows can be queried.",
    ["table"],
    buckets=(0.5, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 30, 60, 300, 3600),
)
# Counter: rows committed. Tags: table
ROWS = Counter("clawtrace_sink_rows_total", "Rows committed.", ["table"])
# Counter: commits that landed. Tags: table
COMMITS = Counter("clawtrace_sink_commits_total", "Commits that landed.", ["table"])
# Time: from the first attempt of a commit until it landed. Tags: table
COMMIT_SECONDS = Histogram(
    "clawtrace_sink_commit_seconds",
    "Time from the first attempt of a commit until it landed.",
    ["table"],
    buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5, 30, 120),
)
# Time: building columns and writing files of one commit. Tags: table
WRITE_SECONDS = Histogram(
    "clawtrace_sink_write_seconds",
    "Time to build and write the files of one commit.",
    ["table"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5, 30),
)
# Counter: commits that met another writer (upkeep, as a rule) and were made again. Tags: table
CONFLICTS = Counter("clawtrace_sink_commit_conflicts_total", "Commits that met another writer.", ["table"])
# Counter: attempts that failed because the catalog or the warehouse was away. Tags: table
RETRIES = Counter("clawtrace_sink_retries_total", "Attempts while catalog or warehouse was away.", ["table"])
# Gauge: records in the log that the slowest table of a topic does not have yet. Tags: topic
LAG = Gauge("clawtrace_sink_lag_records", "Records that are not in all tables yet.", ["topic"])
# Counter: output records that a restarted stitcher sent again. Tags: table
DUPLICATES = Counter("clawtrace_sink_dropped_duplicates_total", "Output records sent again.", ["table"])
# Counter: records nobody could read. Tags: topic
DEAD_LETTERS = Counter("clawtrace_sink_dead_letters_total", "Records nobody could read.", ["topic"])
# Counter: records that retention deleted before they were read. Tags: topic
LOST_RECORDS = Counter("clawtrace_sink_lost_records_total", "Records deleted before being read.", ["topic"])
# Counter: times another sink was found to be ahead.
OVERTAKEN = Counter("clawtrace_sink_overtaken_total", "Times another sink was found to be ahead.")
# Gauge: unix time of the last commit. Tags: table
LAST_COMMIT = Gauge("clawtrace_sink_last_commit_timestamp_seconds", "Time of the last commit.", ["table"])
# Gauges: the table as of the sink's last commit. Tags: table
TABLE_FILES = Gauge("clawtrace_sink_table_files", "Data files of a table as of the last commit.", ["table"])
TABLE_ROWS = Gauge("clawtrace_sink_table_rows", "Rows of a table as of the last commit.", ["table"])
TABLE_BYTES = Gauge("clawtrace_sink_table_bytes", "Bytes of a table's files as of the last commit.", ["table"])
# Gauge: bytes of records waiting for a commit.
BUFFERED_BYTES = Gauge("clawtrace_sink_buffered_bytes", "Bytes of records waiting for a commit.")

# Time: one procedure on one table. Tags: procedure, table
UPKEEP_SECONDS = Histogram(
    "clawtrace_upkeep_seconds",
    "Time of one procedure on one table.",
    ["procedure", "table"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
)
# Counter: procedures that failed; they are tried again at the next turn. Tags: procedure, table
UPKEEP_FAILURES = Counter("clawtrace_upkeep_failures_total", "Procedures that failed.", ["procedure", "table"])
# Gauge: unix time of the last success. Tags: procedure
UPKEEP_LAST_SUCCESS = Gauge(
    "clawtrace_upkeep_last_success_timestamp_seconds", "Time of the last success.", ["procedure"]
)
# Counter: rows that were older than their tenant keeps them. Tags: table
OLD_ROWS = Counter("clawtrace_upkeep_old_rows_total", "Rows deleted because they were old.", ["table"])
# Counter: rows that were erased because somebody asked for it. Tags: table
ERASED_ROWS = Counter("clawtrace_upkeep_erased_rows_total", "Rows erased because somebody asked for it.", ["table"])
# Counter: tries of erasures by how they ended. Tags: outcome
ERASURES = Counter("clawtrace_upkeep_erasures_total", "Tries of erasures, by how they ended.", ["outcome"])
# Counter: rows of what was erased that still came, and were not stored. Tags: table
REFUSED_ROWS = Counter("clawtrace_sink_refused_rows_total", "Rows of what was erased, not stored.", ["table"])

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _table in TABLES:
    ROWS.labels(table=_table.name)
    REFUSED_ROWS.labels(table=_table.name)
    OLD_ROWS.labels(table=_table.name)
    ERASED_ROWS.labels(table=_table.name)
    for _procedure in PROCEDURES:
        UPKEEP_FAILURES.labels(procedure=_procedure, table=_table.name)
UPKEEP_FAILURES.labels(procedure="erase", table="all")
for _outcome in ("done", "failed"):
    ERASURES.labels(outcome=_outcome)
for _topic in sorted({topic for table in TABLES for topic in table.sources}):
    DEAD_LETTERS.labels(topic=_topic)
    LOST_RECORDS.labels(topic=_topic)
