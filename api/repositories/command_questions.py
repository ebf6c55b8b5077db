"""Questions that commands of people send to ``POST /v1/sql``.

Upstream: `clawtrace top`, `clawtrace doctor`.
Downstream: the API asks them as the key's tenant, behind the SQL guard.
Guarantee: nothing from outside stands in a text but whole numbers; instants are compared by the server's clock.
"""

from typing import Final

PLUGIN_NAME: Final = "clawtrace-openclaw"

# Runs of two days ago are no longer looked at: the views are read by day.
_SPENDING: Final = """
SELECT
  agent_id,
  sum(cost_usd) FILTER (WHERE ended_at > now() - INTERVAL '{minutes}' MINUTE) AS recent_cost_usd,
  sum(cost_usd) FILTER (WHERE started_at >= date_trunc('day', now() AT TIME ZONE 'UTC')) AS today_cost_usd,
  count_if(kind = 'run' AND status = 'running') AS num_open_runs,
  count_if(kind = 'run' AND started_at >= date_trunc('day', now() AT TIME ZONE 'UTC')) AS num_runs_today,
  count_if(status = 'error' AND started_at >= date_trunc('day', now() AT TIME ZONE 'UTC')) AS num_errors_today,
  to_iso8601(max(coalesce(ended_at, started_at))) AS last_seen_at
FROM spans
WHERE trace_date >= current_date - INTERVAL '2' DAY
GROUP BY agent_id
"""

_CAPTURES: Final = """
SELECT
  agent_id,
  max_by(source_version, received_at) AS plugin_version,
  max_by(source_host_version, received_at) AS host_version,
  min(date_diff('millisecond', at, received_at)) AS delay_ms,
  array_agg(DISTINCT hook) AS hooks
FROM events
WHERE event_date >= current_date - INTERVAL '2' DAY
  AND received_at > now() - INTERVAL '1' DAY
  AND source_name = '{plugin}'
GROUP BY agent_id
"""


def spending_question(minutes: int) -> str:
    """What each agent spends: within the last minutes and today (UTC), with its runs and errors."""
    return _SPENDING.format(minutes=int(minutes))


def silence_question() -> str:
    """How long ago each agent was last heard of, in seconds."""
    return "SELECT agent_id, date_diff('second', last_seen_at, now()) AS silent_s FROM agents"


def capture_question() -> str:
    """What the plugin of each agent sent within a day: versions, hooks, least delay in milliseconds."""
    return _CAPTURES.format(plugin=PLUGIN_NAME)
