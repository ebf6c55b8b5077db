"""What trying a rule takes and answers.

Upstream: api/backtest/service.py.
Downstream: OpenAPI, the console, the web UI.
Guarantee: the dollars of the firings add up to ``saved_usd``, and so do those of the stopped runs; lists are cut at
``limit``, totals never. Money is decimal text.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from api.kit.instants import from_us
from api.schemas.common import Answer, Usd
from producers.contracts.guard import GuardScope
from stream_jobs.backtest import BacktestOrder, BacktestResult, Firing, StoppedRun
from stream_jobs.contracts.alert import AlertRule, AlertSeverity, AlertState
from stream_jobs.contracts.span import SpanStatus

MAX_DAYS = 366


class BacktestRequest(BaseModel):
    """What to try."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: dict[str, Any] = Field(
        default={}, description="Settings of the rule that are tried; the others stay as they hold now."
    )
    agent_id: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Only this OpenClaw install."
    )
    days: int = Field(default=30, ge=1, le=MAX_DAYS, description="How far back the window begins.")
    limit: int = Field(default=500, ge=1, le=10_000, description="Alerts and runs that are listed.")


class RecordedAlert(Answer):
    """How an alert stands that was really raised."""

    alert_id: str = Field(description="The alert.")
    agent_id: str = Field(description="The OpenClaw install.")
    state: AlertState = Field(description="Its newest state.")
    at: datetime = Field(description="When that state began (UTC).")
    message: str = Field(description="One plain sentence.")
    trace_id: str | None = Field(description="The trace.")


class BacktestFiring(Answer):
    """One alert that would have been raised, and what halting what it covers would have saved."""

    alert_id: str = Field(description="The alert: the same id as of the one that was really raised.")
    agent_id: str = Field(description="The OpenClaw install.")
    state: AlertState = Field(description="Its newest state at the end.")
    severity: AlertSeverity = Field(description="How bad it is.")
    message: str = Field(description="One plain sentence.")
    evidence: dict[str, str] = Field(description="The numbers that prove it, as decimal text.")
    trace_id: str | None = Field(description="The trace.")
    span_id: str | None = Field(description="The span to look at.")
    fired_at: datetime = Field(description="When it fired first in the window (UTC).")
    changed_at: datetime = Field(description="When its newest state began (UTC).")
    num_fired: int = Field(description="How often it fired.")
    scope: GuardScope | None = Field(description="What a halt would cover: run, session or agent; null: nothing.")
    scope_id: str = Field(description="Run id, session key or agent id.")
    saved_usd: Usd
    saved_tokens: int = Field(description="Tokens of the calls that would not have been made.")
    num_calls_saved: int = Field(description="Model calls that would not have been made.")
    num_runs_stopped: int = Field(description="Runs that would have been stopped, sub-agents included.")
    recorded: RecordedAlert | None = Field(description="The same alert as it was really raised; null: it was not.")


class BacktestRun(Answer):
    """A run that would have been stopped."""

    alert_id: str = Field(description="The alert that would have stopped it first.")
    agent_id: str = Field(description="The OpenClaw install.")
    run_id: str = Field(description="OpenClaw's run id.")
    trace_id: str = Field(description="The trace.")
    span_id: str = Field(description="The run's span.")
    session_key: str = Field(description="Its session.")
    status: SpanStatus = Field(description="How it really ended.")
    started_at: datetime = Field(description="Start (UTC).")
    ended_at: datetime | None = Field(description="End (UTC); null while it runs.")
    cost_usd: Usd
    spent_after_usd: Usd
    num_calls_after: int = Field(description="Model calls that it made after it would have been stopped.")


class BacktestAnswer(Answer):
    """What a rule would have done in a window, beside what was really recorded."""

    rule: AlertRule = Field(description="The rule.")
    settings: dict[str, Any] = Field(description="All of its settings as they were tried.")
    agent_id: str | None = Field(description="The OpenClaw install; null: all of the tenant.")
    since: datetime = Field(description="Start of the window (UTC); events of the week before it only warm up.")
    until: datetime = Field(description="End of the window (UTC).")
    num_events: int = Field(description="Stored events that were worked on.")
    num_ticks: int = Field(description="Ticks of the server's clock that were made up for.")
    num_fired: int = Field(description="Alerts that would have been raised.")
    num_recorded: int = Field(description="Alerts of the rule that were really raised and changed in the window.")
    num_both: int = Field(description="Alerts that are both.")
    saved_usd: Usd
    num_calls_saved: int = Field(description="Model calls that would not have been made.")
    num_runs_stopped: int = Field(description="Runs that would have been stopped.")
    num_runs_hurt: int = Field(description="Of these, runs that ended without an error.")
    hurt_usd: Usd
    firings: list[BacktestFiring] = Field(description="What would have fired, the earliest first.")
    hurt_runs: list[BacktestRun] = Field(
        description="Finished runs that would have been hurt: they ended without an error, so what they spent after "
        "the halt was well spent; the most first."
    )
    only_recorded: list[RecordedAlert] = Field(description="Alerts that were raised and would not be, newest first.")

    @classmethod
    def of(
        cls,
        order: BacktestOrder,
        result: BacktestResult,
        recorded: Sequence[dict[str, Any]],
        *,
        since: datetime,
        until: datetime,
        limit: int,
    ) -> Self:
        """Make it from what came out and what is in the tables."""
        raised = {(row["agent_id"], row["alert_id"]): _recorded(row) for row in recorded}
        stands = {(it.agent_id, it.alert_id) for it in result.alerts}
        hurt = [it for it in result.stopped_runs if it.status == "ok"]
        return cls(
            rule=order.rule,
            settings=result.settings,
            agent_id=order.agent_id,
            since=since,
            until=until,
            num_events=result.num_events,
            num_ticks=result.num_ticks,
            num_fired=len(result.firings),
            num_recorded=len(raised),
            num_both=sum(key in stands for key in raised),
            saved_usd=sum((it.saved_usd for it in result.firings), Decimal(0)),
            num_calls_saved=sum(it.num_calls_saved for it in result.firings),
            num_runs_stopped=len(result.stopped_runs),
            num_runs_hurt=len(hurt),
            hurt_usd=sum((it.spent_after_usd for it in hurt), Decimal(0)),
            firings=[_firing(it, raised.get((it.agent_id, it.alert_id))) for it in result.firings[:limit]],
            hurt_runs=[_run(it) for it in hurt[:limit]],
            only_recorded=[it for key, it in raised.items() if key not in stands][:limit],
        )


def _recorded(row: dict[str, Any]) -> RecordedAlert:
    return RecordedAlert(**{name: row[name] for name in RecordedAlert.model_fields})


def _firing(it: Firing, recorded: RecordedAlert | None) -> BacktestFiring:
    names = set(BacktestFiring.model_fields) - {"fired_at", "changed_at", "recorded"}
    return BacktestFiring(
        **{name: getattr(it, name) for name in names},
        fired_at=from_us(it.fired_at_us),
        changed_at=from_us(it.changed_at_us),
        recorded=recorded,
    )


def _run(it: StoppedRun) -> BacktestRun:
    names = set(BacktestRun.model_fields) - {"started_at", "ended_at"}
    return BacktestRun(
        **{name: getattr(it, name) for name in names},
        started_at=from_us(it.started_at_us),
        ended_at=None if it.ended_at_us is None else from_us(it.ended_at_us),
    )
