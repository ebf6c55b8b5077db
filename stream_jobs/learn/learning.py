"""What one card teaches: its run is remembered, scored, and compared with the runs before it.

Upstream: ``learner``, inside its transaction, with the lock of the learner's row.
Downstream: ``memory``; scores and findings to be told.
Guarantee: the outcome follows from the card, the rubric and what is remembered; a card of a revision that is known, or
older, teaches nothing. A card that comes again for the same run changes what is remembered of it, and is no new run.
One that comes more than a day after its run has ended raises no alert.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec
from sqlalchemy import Connection

from stream_jobs.contracts.card import Card
from stream_jobs.contracts.rubric import Rubric
from stream_jobs.contracts.score import Score, score_id_of
from stream_jobs.core.learn import score_regression, worse_version
from stream_jobs.core.learn.dear_run import find_dear_run
from stream_jobs.core.learn.findings import Finding
from stream_jobs.core.learn.runs import Run
from stream_jobs.core.learn.scoring import CriterionMark, mark_card
from stream_jobs.learn import memory
from stream_jobs.learn.memory import MAX_RUNS_OF_TASK, StoredRun

CardOutcome = Literal["new", "known", "stale", "too_old"]

_NUM_SCORED_RUNS: Final = score_regression.BLOCK + score_regression.MAX_OLD_RUNS
_DAY_US: Final = 86_400_000_000
# Imported, or priced again: it is remembered and scored, but it is no news.
_LATE_US: Final = _DAY_US


@dataclass(slots=True)
class Learned:
    """What there is to tell of one card."""

    outcome: CardOutcome
    scores: list[Score] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def learn(
    connection: Connection, card: Card, rubric: Rubric | None, *, written_at_us: int, rev: int, keep_days: int
) -> Learned:
    """Take up one card.

    Args:
        written_at_us: when the card was sent; stands for the start of a run whose card does not tell it.
        rev: number of this transaction.
    """
    tenant_id, agent_id = card.tenant_id, card.agent_id
    known = memory.find_run(connection, tenant_id, agent_id, card.trace_id)
    if known is not None and known.rev >= card.rev:
        return Learned("stale")
    started_at_us = known.started_at_us if known is not None else card.started_at_us or written_at_us
    before = memory.runs_of_task(connection, tenant_id, agent_id, card.task_id)
    if known is None and _is_too_old(before, started_at_us, card.trace_id, written_at_us - keep_days * _DAY_US):
        return Learned("too_old")
    learned = Learned("new" if known is None else "known")
    stored = StoredRun(_run_of(card), started_at_us, card.rev, 0, "")
    if rubric is not None:
        stored = _score(connection, learned, card, rubric, stored, known, rev=rev, at_us=written_at_us)
    memory.write_run(connection, tenant_id, agent_id, stored)
    runs = sorted(
        [*(it for it in before if it.run.trace_id != card.trace_id), stored],
        key=lambda it: (it.started_at_us, it.run.trace_id),
    )
    if len(runs) > MAX_RUNS_OF_TASK:
        runs = runs[-MAX_RUNS_OF_TASK:]
        memory.forget_before(connection, tenant_id, agent_id, runs[0])
    is_late = written_at_us - started_at_us - card.duration_ms * 1_000 > _LATE_US
    found = [] if is_late else _find(connection, card, rubric, stored, runs, is_new=known is None)
    for finding in found:
        if memory.told_state(connection, finding.alert_id(tenant_id, agent_id)) != finding.state:
            memory.write_told(connection, tenant_id, agent_id, finding)
            learned.findings.append(finding)
    return learned


def _is_too_old(before: list[StoredRun], started_at_us: int, trace_id: str, oldest_us: int) -> bool:
    """Whether an unknown run may have been forgotten: priced again, say, long after it ended."""
    if started_at_us < oldest_us:
        return True
    is_full = len(before) >= MAX_RUNS_OF_TASK
    return is_full and (started_at_us, trace_id) < (before[0].started_at_us, before[0].run.trace_id)


def _run_of(card: Card) -> Run:
    return Run(
        trace_id=card.trace_id,
        task_id=card.task_id,
        status=card.status,
        cost_usd=card.total_cost_usd,
        num_model_calls=card.num_model_calls,
        num_tool_calls=card.num_tool_calls,
        num_failed_steps=card.num_failed_steps,
        duration_ms=card.duration_ms,
        labels=card.labels,
    )


def _score(
    connection: Connection,
    learned: Learned,
    card: Card,
    rubric: Rubric,
    stored: StoredRun,
    known: StoredRun | None,
    *,
    rev: int,
    at_us: int,
) -> StoredRun:
    marks = mark_card(rubric, card)
    digest = hashlib.sha256(msgspec.json.encode([rubric.version, *marks])).hexdigest()[:32]
    place = known.rubric_place if known is not None and known.run.rubric_version == rubric.version else 0
    if not place:
        scored = memory.scored_runs(connection, card.tenant_id, card.agent_id, rubric.version, 1)
        place = scored[-1].rubric_place + 1 if scored else 1
    if known is None or known.scores_digest != digest:
        learned.scores = [_as_score(card, rubric, mark, rev, at_us) for mark in marks]
    run = replace(stored.run, rubric_version=rubric.version, score=marks[-1].value)
    return replace(stored, run=run, rubric_place=place, scores_digest=digest)


def _as_score(card: Card, rubric: Rubric, mark: CriterionMark, rev: int, at_us: int) -> Score:
    scorer = rubric.name
    return Score(
        tenant_id=card.tenant_id,
        agent_id=card.agent_id,
        trace_id=card.trace_id,
        trace_date=card.trace_date,
        score_id=score_id_of(card.tenant_id, card.agent_id, card.trace_id, "rule", scorer, mark.criterion),
        source="rule",
        scorer=scorer,
        criterion=mark.criterion,
        value=mark.value,
        weight=mark.weight,
        comment=mark.why,
        rubric_version=rubric.version,
        task_id=card.task_id,
        at_us=at_us,
        rev=rev,
    )


def _find(
    connection: Connection, card: Card, rubric: Rubric | None, stored: StoredRun, runs: list[StoredRun], *, is_new: bool
) -> list[Finding]:
    tenant_id, agent_id = card.tenant_id, card.agent_id
    place = (stored.started_at_us, card.trace_id)
    earlier = [it.run for it in runs if (it.started_at_us, it.run.trace_id) < place]
    found = [find_dear_run(stored.run, earlier)]
    if is_new:
        found += [worse_version.find_worse_version(memory.runs_only(runs), it) for it in worse_version.LABELS]
        told = memory.open_findings(connection, tenant_id, agent_id, "worse_version")
        found += [worse_version.find_version_gone(runs[-1].run, it) for it in told]
        if rubric is not None and score_regression.is_time_to_look(stored.rubric_place):
            scored = memory.scored_runs(connection, tenant_id, agent_id, rubric.version, _NUM_SCORED_RUNS)
            about = score_regression.about_of(rubric.name, rubric.version)
            fallen = memory.open_findings(connection, tenant_id, agent_id, "score_regression")
            lasting = next((it for it in fallen if it.about == about), None)
            found.append(
                score_regression.find_score_regression(
                    memory.runs_only(scored), stored.rubric_place, rubric.name, lasting
                )
            )
    return [it for it in found if it is not None]
