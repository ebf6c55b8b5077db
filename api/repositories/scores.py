"""Reads and writes scores of one tenant.

Upstream: view ``clawtrace.scores``, through the engine; stream_jobs.admin.
Downstream: api/routers/scores.py.
Guarantee: the scope's tenant only; what was given a moment ago is shown although the tables have it seconds later;
every score of a person has its audit row in the same transaction.
"""

import asyncio
from typing import Any, Final

from sqlalchemy import Connection, Engine

from api.kit.instants import now_us, to_us
from api.repositories.control import note
from api.repositories.engine import TrinoEngine
from api.repositories.scope import Scope
from api.repositories.spans import TracePlace
from stream_jobs.admin import LearnerSettings, RubricFiles, give_scores, recently_given
from stream_jobs.contracts.rubric import TOTAL, Rubric
from stream_jobs.contracts.score import Score, ScoreSource, score_id_of

MAX_SCORES: Final = 1_000
_COLUMNS: Final = "score_id, source, scorer, criterion, value, weight, comment, rubric_version, task_id, at"
_ORDER: Final[dict[ScoreSource, int]] = {"human": 0, "model": 1, "rule": 2}


class ScoresRepository:
    """Scores of one tenant."""

    def __init__(self, trino: TrinoEngine, database: Engine, settings: LearnerSettings) -> None:
        self._trino, self._database = trino, database
        self._rubrics = RubricFiles(settings.rubrics_folder)

    async def find_rubric(self, scope: Scope, agent_id: str) -> Rubric | None:
        """Return the rubric of an agent, if it has one."""
        return await asyncio.to_thread(self._rubrics.find, scope.tenant_id, agent_id)

    async def list_of_trace(self, scope: Scope, place: TracePlace) -> list[Score]:
        """Return the scores of a trace: people first, the newest first; then models, then rules."""
        sql = (
            f"SELECT {_COLUMNS} FROM scores "  # noqa: S608 - texts of this module only
            f"WHERE trace_date = ? AND agent_id = ? AND trace_id = ? ORDER BY at DESC, score_id LIMIT {MAX_SCORES}"
        )
        stored, given = await asyncio.gather(
            self._trino.read(scope, sql, place.values, max_rows=MAX_SCORES),
            asyncio.to_thread(recently_given, self._database, scope.tenant_id, place.agent_id, place.trace_id),
        )
        found = {row["score_id"]: _score_of(scope, place, row) for row in stored.as_dicts()}
        # The tables have the same, or what was said before it.
        found |= {score.score_id: score for score in given}
        return sorted(
            found.values(),
            key=lambda it: (_ORDER[it.source], it.criterion == TOTAL, -it.at_us, it.criterion, it.score_id),
        )

    async def give(
        self,
        scope: Scope,
        place: TracePlace,
        said: list[tuple[str, float | None, float, str]],
        *,
        source: ScoreSource,
        scorer: str,
        actor: str,
        rubric_version: str = "",
    ) -> list[Score]:
        """Write scores down, each as (criterion, value, weight, comment), and return them.

        A comment without a value stands beside the others of its author; a value replaces the one before it.
        """
        at_us = now_us()
        tenant_id = scope.tenant_id
        scores = [
            Score(
                tenant_id=tenant_id,
                agent_id=place.agent_id,
                trace_id=place.trace_id,
                trace_date=place.trace_date.isoformat(),
                score_id=score_id_of(
                    tenant_id,
                    place.agent_id,
                    place.trace_id,
                    source,
                    actor if source == "human" else scorer,
                    criterion,
                    remark=str(at_us) if source == "human" and value is None else "",
                ),
                source=source,
                scorer=scorer,
                criterion=criterion,
                value=value,
                weight=weight,
                comment=comment,
                rubric_version=rubric_version,
                at_us=at_us,
                rev=0,
            )
            for criterion, value, weight, comment in said
        ]
        details = {
            "agent_id": place.agent_id,
            "source": source,
            "scores": [{"criterion": it.criterion, "value": it.value, "score_id": it.score_id} for it in scores],
        }

        def also(connection: Connection) -> None:
            note(connection, tenant_id, actor, "score.give", place.trace_id, details)

        return await asyncio.to_thread(give_scores, self._database, scores, also)


def _score_of(scope: Scope, place: TracePlace, row: dict[str, Any]) -> Score:
    at = row.pop("at")
    return Score(
        tenant_id=scope.tenant_id,
        agent_id=place.agent_id,
        trace_id=place.trace_id,
        trace_date=place.trace_date.isoformat(),
        at_us=to_us(at),
        rev=0,
        **row,
    )
