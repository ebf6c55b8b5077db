"""Conversations with Tracy, in Postgres, so that they can be looked at and gone on with.

Upstream: api/routers/tracy.py.
Downstream: tables ``control.tracy_sessions`` and ``control.tracy_turns``.
Guarantee: a session is found for its own tenant only; a turn is there whole or not at all. Stored is what was
shown, after all checks, and of what tools returned nothing but ids, SQL and counts.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import JSONB, insert

from api.repositories.control import transact
from api.repositories.scope import Scope
from infra.runtime.database import metadata

MAX_TURNS: Final = 200
# How much of a conversation goes to the model again: the newest turns, as they were shown.
MAX_HISTORY_TURNS: Final = 12
MAX_HISTORY_CHARS: Final = 24_000
MAX_TITLE_CHARS: Final = 80

# A citation belongs to its own answer; the model must not take it for a way to write figures.
_CITATION_LINK: Final = re.compile(r"\[([^\[\]]*)\]\(#c\d+\)")

T = TypeVar("T")

_sessions = sa.Table(
    "tracy_sessions",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)
_turns = sa.Table(
    "tracy_turns",
    metadata,
    sa.Column("tenant_id", sa.Text, primary_key=True),
    sa.Column("session_id", sa.Text, primary_key=True),
    sa.Column("turn", sa.Integer, primary_key=True),
    sa.Column("question", sa.Text, nullable=False),
    sa.Column("page", JSONB, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("events", JSONB, nullable=False),
    sa.Column("failed", sa.Text),
    sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One conversation."""

    session_id: str
    title: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with its answer. ``events`` are those that were sent, in order."""

    question: str
    page: dict[str, str]
    text: str
    events: list[dict[str, Any]]
    failed: str | None
    asked_at: datetime | None = None


class SessionFull(Exception):
    """The session has as many turns as it may; begin a new one."""


def new_session_id() -> str:
    """Make an id that nobody can guess."""
    return f"ts-{secrets.token_hex(12)}"


def history_of(turns: list[Turn]) -> list[dict[str, Any]]:
    """Return earlier turns as messages: what was asked and what was shown, never what tools returned then."""
    messages: list[dict[str, Any]] = []
    num_chars = 0
    for turn in reversed(turns[-MAX_HISTORY_TURNS:]):
        num_chars += len(turn.question) + len(turn.text)
        if not turn.text.strip():
            continue
        if num_chars > MAX_HISTORY_CHARS:
            break
        shown = _CITATION_LINK.sub(r"\1", turn.text).strip()
        messages = [_message("user", turn.question), _message("assistant", shown), *messages]
    return messages


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


class SessionStore:
    """Conversations of all tenants, each for its own; every method raises DatabaseAway when Postgres is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list_newest(self, scope: Scope, limit: int) -> list[SessionRow]:
        """Return the sessions used last."""
        columns = _sessions.c
        statement = (
            sa.select(columns.session_id, columns.title, columns.created_at, columns.updated_at)
            .where(columns.tenant_id == scope.tenant_id)
            .order_by(columns.updated_at.desc(), columns.session_id)
            .limit(limit)
        )
        return await transact(
            self._engine, lambda connection: [SessionRow(*row) for row in connection.execute(statement)]
        )

    async def find(self, scope: Scope, session_id: str) -> tuple[SessionRow, list[Turn]] | None:
        """Return a session with its turns, the first one first; None when this tenant has none of that id."""

        def read(connection: Connection) -> tuple[SessionRow, list[Turn]] | None:
            columns = _sessions.c
            head = connection.execute(
                sa.select(columns.session_id, columns.title, columns.created_at, columns.updated_at).where(
                    columns.tenant_id == scope.tenant_id, columns.session_id == session_id
                )
            ).first()
            if head is None:
                return None
            rows = connection.execute(
                sa.select(_turns)
                .where(_turns.c.tenant_id == scope.tenant_id, _turns.c.session_id == session_id)
                .order_by(_turns.c.turn)
            )
            turns = [Turn(row.question, row.page, row.text, row.events, row.failed, row.asked_at) for row in rows]
            return SessionRow(*head), turns

        return await transact(self._engine, read)

    async def add_turn(self, scope: Scope, session_id: str, turn: Turn) -> None:
        """Add a turn; the first one makes the session.

        Raises:
            SessionFull: there is no room for another turn.
        """
        title = " ".join(turn.question.split())[:MAX_TITLE_CHARS]

        def write(connection: Connection) -> None:
            key = {"tenant_id": scope.tenant_id, "session_id": session_id}
            statement = insert(_sessions).values(**key, title=title)
            # The row is locked until the turn is in: two answers at once get numbers one after the other.
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant_id", "session_id"], set_={"updated_at": sa.func.clock_timestamp()}
                )
            )
            number = connection.scalar(
                sa.select(sa.func.count())
                .select_from(_turns)
                .where(_turns.c.tenant_id == scope.tenant_id, _turns.c.session_id == session_id)
            )
            if (number or 0) >= MAX_TURNS:
                raise SessionFull(f"a session holds {MAX_TURNS} questions; begin a new one")
            connection.execute(
                _turns.insert().values(
                    **key,
                    turn=number or 0,
                    question=turn.question,
                    page=turn.page,
                    text=turn.text,
                    events=turn.events,
                    failed=turn.failed,
                )
            )

        await transact(self._engine, write)

    async def delete(self, scope: Scope, session_id: str) -> bool:
        """Delete a session with its turns; False when this tenant has none of that id."""
        statement = (
            _sessions.delete()
            .where(_sessions.c.tenant_id == scope.tenant_id, _sessions.c.session_id == session_id)
            .returning(_sessions.c.session_id)
        )
        return await transact(self._engine, lambda connection: connection.execute(statement).first() is not None)
