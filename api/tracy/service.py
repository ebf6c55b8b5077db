"""Tracy as the routes use her: makes a question ready, answers it as events, stores the turn.

Upstream: api/main.py makes it once per process.
Downstream: api/tracy/answer.py, sessions.py, own_trace.py.
Guarantee: without a model every route answers and says how to set one; a turn that failed leaves its session usable.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, cast

import structlog
from fastapi import Depends, Request

from api.kit.sse import Event, error_event
from api.repositories.errors import QueryTimeout, TooManyQueries, TrinoAway
from api.repositories.policies import PoliciesRepository
from api.repositories.scope import Scope
from api.services import Services
from api.sqlguard.errors import SqlError
from api.tracy.answer import Answer, Answerer
from api.tracy.model import Model
from api.tracy.own_answer import NUM_QUERIES, own_answer
from api.tracy.own_trace import OwnRun, OwnTraces
from api.tracy.reader import Reader
from api.tracy.sessions import SessionFull, SessionStore, Turn, history_of, new_session_id
from api.tracy.settings import HOW_TO_CONFIGURE, TracySettings
from api.tracy.tools import Toolbox
from infra.runtime.database import DatabaseAway

_log = structlog.get_logger(__name__)

NOT_CONFIGURED: Event = error_event("not-configured", HOW_TO_CONFIGURE)


class Tracy:
    """The analyst of this process."""

    def __init__(self, settings: TracySettings, services: Services, model: Model, own_traces: OwnTraces) -> None:
        self.settings = settings
        self.sessions = SessionStore(services.database)
        self._services = services
        self._policies = PoliciesRepository(services.database)
        self._answerer = Answerer(settings, model)
        self._own_traces = own_traces

    def toolbox(
        self, scope: Scope, *, agent_id: str | None = None, payloads_allowed: bool = False, max_queries: int = 0
    ) -> Toolbox:
        """Make the tools of one question; without ``max_queries`` the settings say how many."""
        reader = Reader(scope, self._services.sql, agent_id=agent_id)
        return Toolbox(
            scope,
            reader,
            self._policies,
            max_rows=self.settings.tracy_max_rows,
            max_queries=max_queries or self.settings.tracy_max_queries,
            payloads_allowed=payloads_allowed,
        )

    async def chat(
        self,
        scope: Scope,
        session_id: str | None,
        turns: list[Turn],
        question: str,
        page: dict[str, str],
        payloads: bool,
    ) -> AsyncGenerator[Event]:
        """Answer a question of a person within a session, and store the turn."""
        if not self.settings.is_configured:
            yield NOT_CONFIGURED
            return
        session_id = session_id or new_session_id()
        yield "session", {"session_id": session_id}
        answer = Answer(question, page, history_of(turns), self.toolbox(scope, payloads_allowed=payloads))
        ending: Event | None = None
        async for event in self._answerer.run(answer):
            # The last event waits until the turn is stored: who has read it may go on with the session.
            if event[0] in ("done", "error"):
                ending = event
            else:
                yield event
        self._record(answer)
        stored = [{"event": name, "data": data} for name, data in answer.events]
        try:
            await self.sessions.add_turn(scope, session_id, Turn(question, page, answer.text, stored, answer.failed))
        except (DatabaseAway, SessionFull) as error:
            _log.warning("tracy_turn_not_stored", reason=str(error))
            yield "text", {"text": f"\nThis answer was not kept: {error}.\n"}
        if ending is not None:
            yield ending

    async def ask_about_itself(self, scope: Scope, agent_id: str, question: str) -> AsyncGenerator[Event]:
        """Answer an agent's question about itself; from fixed queries when there is no model."""
        toolbox = self.toolbox(scope, agent_id=agent_id, max_queries=0 if self.settings.is_configured else NUM_QUERIES)
        if self.settings.is_configured:
            answer = Answer(question, {"agent_id": agent_id}, [], toolbox, about_itself=True)
            async for event in self._answerer.run(answer):
                yield event
            self._record(answer)
            return
        try:
            async for event in own_answer(toolbox, agent_id):
                yield event
        except (TrinoAway, DatabaseAway, QueryTimeout, SqlError) as error:
            _log.warning("own_answer_failed", reason=str(error)[:200])
            yield error_event("unavailable", "The tables cannot be read now. Ask again in a minute.")
        except TooManyQueries as error:
            yield error_event("too-busy", f"Too busy: {error}.")

    def _record(self, answer: Answer) -> None:
        session = "evolve" if answer.about_itself else "chat"
        self._own_traces.record(OwnRun(session, "a question to Tracy", answer.steps, answer.failed))


def tracy_of(request: Request) -> Tracy:
    """Tracy of this process."""
    return cast(Tracy, request.app.state.tracy)


TracyDep = Annotated[Tracy, Depends(tracy_of)]
