"""The alert: a rule that fired, with the numbers that prove it.

Upstream: ``stream_jobs.core``; the keeper of budgets and the learner, in topics of their own.
Downstream: topic ``clawtrace.alerts.v1``, table ``silver.alerts``, notification channels.
Guarantee: ``alert_id`` follows from rule and scope, so that saying it twice is saying it once.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

AlertRule = Literal[
    "run_cost",
    "session_cost",
    "cost_rate",
    "cost_forecast",
    "context_growth",
    "redundant_tool_calls",
    "repeated_result",
    "reread_file",
    "tool_loop",
    "ping_pong",
    "failing_variants",
    "error_cascade",
    "retry_storm",
    "spawn_chain",
    "stuck_run",
    "tool_errors",
    "subagent_death",
    "unpriced_model",
    "no_data",
    "blindness",
    "budget",
    "dear_run",
    "worse_version",
    "score_regression",
]
AlertSeverity = Literal["info", "warning", "critical"]
AlertState = Literal["ok", "warn", "alert", "no_data"]


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of state of one alert."""

    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    alert_id: Annotated[str, Meta(description="Deterministic id from rule, scope and threshold (32 hex digits).")]
    rule: Annotated[AlertRule, Meta(description="The rule that fired.")]
    severity: Annotated[AlertSeverity, Meta(description="info, warning or critical.")]
    state: Annotated[AlertState, Meta(description="ok, warn, alert or no_data.")]
    message: Annotated[str, Meta(description="One plain sentence.")]
    labels: Annotated[dict[str, str], Meta(description="What it is about: session_key, run_id, model and so on.")] = {}
    evidence: Annotated[dict[str, str], Meta(description="The numbers that prove it, as decimal text.")] = {}
    trace_id: Annotated[str | None, Meta(description="The trace.")] = None
    span_id: Annotated[str | None, Meta(description="The span to look at.")] = None
    at_us: Annotated[int, Meta(description="When the event that fired it happened (UTC, microseconds).")]
    rev: Annotated[int, Meta(description="Offset of the source record; newest wins.")]


class AlertBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.alerts.v1``: all alerts that one source record changed."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install.")]
    rev: Annotated[int, Meta(description="Offset of the source record; readers drop what is not above their mark.")]
    part: Annotated[int, Meta(description="Number of this part, when one record could not hold all.")] = 0
    alerts: Annotated[
        list[Alert],
        Meta(description="Changes of state; of an alert that rose and was over within the record both, in this order."),
    ]
