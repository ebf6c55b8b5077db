"""Every metric of the keeper of budgets, named once.

Upstream: ``stream_jobs.budgets`` counts.
Downstream: /metrics of the keeper, dashboards, alert rules.
Guarantee: no label takes values from outside (no tenant, no agent), so the number of series is bounded.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Counter. Records of the spend topic; outcome = counted | duplicate | dead_letter.
RECORDS: Final = Counter("clawtrace_budgets_records_total", "Spend records taken up.", ["outcome"])
# Counter. Spends in counted records.
SPENDS: Final = Counter("clawtrace_budgets_spends_total", "Spends counted.")
# Counters. What counted spends say; a correction downwards counts on its own, because a counter never falls.
SPEND_USD: Final = Counter("clawtrace_budgets_spend_usd_total", "Dollars that model calls cost, before corrections.")
CORRECTED_USD: Final = Counter("clawtrace_budgets_corrected_usd_total", "Dollars that corrections took back.")
SPEND_TOKENS: Final = Counter("clawtrace_budgets_spend_tokens_total", "Tokens of model calls, before corrections.")
# Counter. Records for guards and alerts written with a transaction; kind = verdict | allowance | alert | dead_letter.
TOLD: Final = Counter("clawtrace_budgets_told_total", "Records to be sent that a transaction wrote.", ["kind"])
# Counter. Records that retention deleted before they were counted; must be 0.
LOST_RECORDS: Final = Counter("clawtrace_budgets_lost_records_total", "Spend records deleted before being counted.")
# Gauge. Records of the spend topic not counted yet.
LAG: Final = Gauge("clawtrace_budgets_lag_records", "Spend records not counted yet.")
# Gauge. 1 while this process keeps the budgets, 0 while it stands by.
KEEPING: Final = Gauge("clawtrace_budgets_keeping_processes", "1 while it keeps the budgets.")
# Histogram. One transaction, from its begin to its commit.
TRANSACTION_SECONDS: Final = Histogram(
    "clawtrace_budgets_transaction_seconds",
    "Seconds of one transaction.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
# Histogram. From the gateway taking a batch to the broker's acknowledgement of all that its spends led to.
LATENCY_SECONDS: Final = Histogram(
    "clawtrace_budgets_latency_seconds",
    "Seconds from receipt at the gateway to settled budgets.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)

# A counter that first appears with 1 has, to Prometheus, not risen: what alert rules look at begins with 0.
for _outcome in ("counted", "duplicate", "dead_letter"):
    RECORDS.labels(_outcome)
