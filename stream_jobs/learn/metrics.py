"""Every metric of the learner, named once.

Upstream: ``stream_jobs.learn`` counts.
Downstream: /metrics of the learner, dashboards, alert rules.
Guarantee: no label takes values from outside (no tenant, no agent), so the number of series is bounded.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Counter. Records of the cards topic; outcome = counted | duplicate | unreadable.
RECORDS: Final = Counter("clawtrace_learner_records_total", "Card records taken up.", ["outcome"])
# Counter. Cards in counted records: of runs that are new, known, or too old to be remembered.
CARDS: Final = Counter("clawtrace_learner_cards_total", "Cards learned from.", ["outcome"])
# Counter. What transactions wrote to be sent; kind = score | alert.
TOLD: Final = Counter("clawtrace_learner_told_total", "Scores and alerts that a transaction wrote.", ["kind"])
# Counter. Records that retention deleted before they were read; must be 0.
LOST_RECORDS: Final = Counter("clawtrace_learner_lost_records_total", "Card records deleted before being read.")
# Gauge. Records of the cards topic not learned from yet.
LAG: Final = Gauge("clawtrace_learner_lag_records", "Card records not learned from yet.")
# Gauge. Rubric files that cannot be read as they are now.
INVALID_RUBRICS: Final = Gauge("clawtrace_learner_invalid_rubrics", "Rubric files with a fault.")
# Gauge. 1 while this process learns, 0 while it stands by.
LEARNING: Final = Gauge("clawtrace_learner_learning_processes", "1 while it learns.")
# Histogram. One transaction, from its begin to its commit.
TRANSACTION_SECONDS: Final = Histogram(
    "clawtrace_learner_transaction_seconds",
    "Seconds of one transaction.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _outcome in ("counted", "duplicate", "unreadable"):
    RECORDS.labels(_outcome)
