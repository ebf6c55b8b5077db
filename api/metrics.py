"""Metrics of the API. Never a tenant, an agent or a trace as a label.

Upstream: api/main.py and api/repositories/engine.py count here.
Downstream: GET /metrics.
Guarantee: every metric is declared here and nowhere else.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter(
    "clawtrace_api_requests_total", "Requests, by route and status.", ["method", "route", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "clawtrace_api_request_seconds",
    "Time until the answer was sent, by route.",
    ["route"],
    buckets=(0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30),
)
QUERIES: Final = Counter("clawtrace_api_queries_total", "Queries sent to Trino, by outcome.", ["outcome"])
QUERY_SECONDS: Final = Histogram(
    "clawtrace_api_query_seconds",
    "Time of a query in Trino until its last row was here.",
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30),
)
QUERIES_RUNNING: Final = Gauge("clawtrace_api_queries_running", "Queries that run in Trino now.")
SQL_REFUSED: Final = Counter(
    "clawtrace_api_sql_refused_total", "SQL texts that the guard refused, by reason.", ["code"]
)
LIVE_STREAMS: Final = Gauge("clawtrace_api_live_streams", "Live streams that are open.")
LIVE_EVENTS: Final = Counter("clawtrace_api_live_events_total", "Events sent to live streams, by kind.", ["kind"])
LIVE_MISSED: Final = Counter("clawtrace_api_live_missed_total", "Events that slow readers of live streams missed.")
LIVE_REPEATS: Final = Counter("clawtrace_api_live_repeats_total", "Records that said nothing new and were dropped.")
LIVE_WINDOW_BYTES: Final = Gauge("clawtrace_api_live_window_bytes", "Memory of the live window, roughly.")
LIVE_WINDOW_RECORDS: Final = Gauge("clawtrace_api_live_window_records", "Records that the live window holds.")
LIVE_FEED_UP: Final = Gauge("clawtrace_api_live_feed_up", "1 while the live window has read all that the topics hold.")
TRACY_ANSWERS: Final = Counter("clawtrace_api_tracy_answers_total", "Answers of Tracy, by how they ended.", ["outcome"])
TRACY_TOKENS: Final = Counter(
    "clawtrace_api_tracy_tokens_total", "Tokens that answers of Tracy and distillations used.", ["bucket"]
)
TRACY_COST_USD: Final = Counter(
    "clawtrace_api_tracy_cost_usd_total",
    "Dollars that answers of Tracy and distillations cost; nothing for a model without a price.",
)
TRACY_SECONDS: Final = Histogram(
    "clawtrace_api_tracy_answer_seconds",
    "Time from a question to the end of the answer.",
    buckets=(1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)
DISTILLATIONS: Final = Counter(
    "clawtrace_api_distillations_total", "Skills that were to be distilled, by how that ended.", ["outcome"]
)
TRACY_FIGURES: Final = Counter(
    "clawtrace_api_tracy_figures_total", "Figures in answers: checked, updated or withheld.", ["status"]
)
