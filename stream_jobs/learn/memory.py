"""What the learner remembers in Postgres, inside the transaction of its caller.

Upstream: ``learner`` and ``given``, which begin and commit.
Downstream: the tables of migration 0013.
Guarantee: whoever writes here holds the lock of the learner's one row first, so there is one order of changes and one
number for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.dialects.postgresql import insert

from stream_jobs import outbox as outbox_rows
from stream_jobs.core.learn.findings import Finding, LearnRule
from stream_jobs.core.learn.runs import Run
from stream_jobs.learn.tables import alerts, given, learner, outbox, runs

# More than any rule looks at: the longest look at a version, and the runs before it.
MAX_RUNS_OF_TASK: Final = 120
# Until the sink has surely stored what was given.
KEEP_GIVEN: Final = "1 day"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with where it stands: when it began, and what was told of it."""

    run: Run
    started_at_us: int
    rev: int
    rubric_place: int
    scores_digest: str


def lock(connection: Connection) -> int:
    """Wait for the turn to write; return the newest rev."""
    return int(connection.execute(sa.select(learner.c.rev).with_for_update()).scalar_one())


def advance(connection: Connection, rev: int) -> None:
    """Note the rev that this transaction has used."""
    connection.execute(learner.update().values(rev=rev))


def find_run(connection: Connection, tenant_id: str, agent_id: str, trace_id: str) -> StoredRun | None:
    """Return what is remembered of a trace."""
    row = connection.execute(
        runs.select().where(runs.c.tenant_id == tenant_id, runs.c.agent_id == agent_id, runs.c.trace_id == trace_id)
    ).one_or_none()
    return None if row is None else _stored(row)


def runs_of_task(connection: Connection, tenant_id: str, agent_id: str, task_id: str) -> list[StoredRun]:
    """Return the newest runs of a task by their start, the newest last."""
    rows = connection.execute(
        runs.select()
        .where(runs.c.tenant_id == tenant_id, runs.c.agent_id == agent_id, runs.c.task_id == task_id)
        .order_by(runs.c.started_at_us.desc(), runs.c.trace_id.desc())
        .limit(MAX_RUNS_OF_TASK)
    )
    return [_stored(row) for row in rows][::-1]


def scored_runs(connection: Connection, tenant_id: str, agent_id: str, version: str, num_runs: int) -> list[StoredRun]:
    """Return the last runs that a version of the agent's rubric has scored, in that order."""
    rows = connection.execute(
        runs.select()
        .where(
            runs.c.tenant_id == tenant_id,
            runs.c.agent_id == agent_id,
            runs.c.rubric_version == version,
            runs.c.score.is_not(None),
        )
        .order_by(runs.c.rubric_place.desc())
        .limit(num_runs)
    )
    return [_stored(row) for row in rows][::-1]


def write_run(connection: Connection, tenant_id: str, agent_id: str, it: StoredRun) -> None:
    """Store a run, in the place of what was known of its trace."""
    run = it.run
    values = {
        "task_id": run.task_id,
        "started_at_us": it.started_at_us,
        "rev": it.rev,
        "status": run.status,
        "cost_usd": run.cost_usd,
        "num_model_calls": run.num_model_calls,
        "num_tool_calls": run.num_tool_calls,
        "num_failed_steps": run.num_failed_steps,
        "duration_ms": run.duration_ms,
        "labels": dict(run.labels),
        "rubric_version": run.rubric_version,
        "rubric_place": it.rubric_place,
        "score": run.score,
        "scores_digest": it.scores_digest,
    }
    key = {"tenant_id": tenant_id, "agent_id": agent_id, "trace_id": run.trace_id}
    statement = insert(runs).values(**key, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def forget_before(connection: Connection, tenant_id: str, agent_id: str, oldest: StoredRun) -> None:
    """Drop the runs of a task that began before one of them."""
    place = sa.tuple_(runs.c.started_at_us, runs.c.trace_id)
    connection.execute(
        runs.delete().where(
            runs.c.tenant_id == tenant_id,
            runs.c.agent_id == agent_id,
            runs.c.task_id == oldest.run.task_id,
            place < sa.tuple_(sa.literal(oldest.started_at_us), sa.literal(oldest.run.trace_id)),
        )
    )


def told_state(connection: Connection, alert_id: str) -> str:
    """Return the state that an alert was last told with; ok when it never was."""
    return str(connection.scalar(sa.select(alerts.c.state).where(alerts.c.alert_id == alert_id)) or "ok")


def open_findings(connection: Connection, tenant_id: str, agent_id: str, rule: LearnRule) -> list[Finding]:
    """Return what is told of a rule and lasts."""
    columns = alerts.c
    rows = connection.execute(
        alerts.select()
        .where(
            columns.tenant_id == tenant_id, columns.agent_id == agent_id, columns.rule == rule, columns.state == "alert"
        )
        .order_by(columns.alert_id)
    )
    return [Finding(rule, row.about, "alert", "", labels=row.labels, evidence=row.evidence) for row in rows]


def write_told(connection: Connection, tenant_id: str, agent_id: str, finding: Finding) -> None:
    """Note the state that an alert is told with."""
    key = {"alert_id": finding.alert_id(tenant_id, agent_id)}
    values: Mapping[str, Any] = {
        "tenant_id": tenant_id,
        "agent_id": agent_id,
        "rule": finding.rule,
        "about": finding.about,
        "state": finding.state,
        "labels": dict(finding.labels),
        "evidence": dict(finding.evidence),
    }
    statement = insert(alerts).values(**key, **values)
    changed = {**values, "told_at": sa.func.clock_timestamp()}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))


def is_anything_unsent(connection: Connection) -> bool:
    """Whether there is something to send although no card came."""
    waiting = sa.select(sa.literal(1)).where(outbox.c.sent_at.is_(None))
    return bool(connection.scalar(sa.select(waiting.exists())))


def drop_old(connection: Connection, keep_days: int) -> None:
    """Drop runs of long ago, alerts that nobody can tell again, and what was sent long ago."""
    since = sa.func.now() - sa.cast(f"{keep_days} days", sa.Interval)
    connection.execute(runs.delete().where(runs.c.learned_at < since))
    connection.execute(alerts.delete().where(alerts.c.told_at < since, alerts.c.state == "ok"))
    # What a run has done stays done: it is not told again while its run is remembered.
    connection.execute(alerts.delete().where(alerts.c.told_at < since, alerts.c.rule == "dear_run"))
    connection.execute(given.delete().where(given.c.given_at < sa.func.now() - sa.cast(KEEP_GIVEN, sa.Interval)))
    outbox_rows.drop_sent(connection, outbox)


def _stored(row: Row[Any]) -> StoredRun:
    run = Run(
        trace_id=row.trace_id,
        task_id=row.task_id,
        status=row.status,
        cost_usd=row.cost_usd,
        num_model_calls=row.num_model_calls,
        num_tool_calls=row.num_tool_calls,
        num_failed_steps=row.num_failed_steps,
        duration_ms=row.duration_ms,
        labels=row.labels,
        rubric_version=row.rubric_version,
        score=row.score,
    )
    return StoredRun(run, row.started_at_us, row.rev, row.rubric_place, row.scores_digest)


def runs_only(stored: Sequence[StoredRun]) -> list[Run]:
    """The runs alone."""
    return [it.run for it in stored]
