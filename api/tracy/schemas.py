"""What the routes of Tracy and Evolve take and answer.

Upstream: api/routers/tracy.py and evolve.py.
Downstream: OpenAPI, the web UI, clients.
Guarantee: the page names ids of a closed alphabet; a tenant can nowhere be named.
"""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.kit.sse import stream_response
from api.schemas.common import Answer
from api.tracy.sanitise import storable_text
from api.tracy.sessions import SessionRow, Turn
from api.tracy.settings import HOW_TO_CONFIGURE, TracySettings

MAX_QUESTION_CHARS = 8_000
STREAM_RESPONSE = stream_response(
    "Events: session, text, tool_use, tool_result, chart, citation, then one done or one error; "
    "each with a JSON object as data."
)
SESSION_ID_PATTERN = r"^ts-[0-9a-f]{24}$"
_ENTITY_ID = r"^[A-Za-z0-9_.:~-]{1,128}$"

Question = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUESTION_CHARS, pattern=r"\S", description="The question, in any language."),
    # Neither Postgres nor the model's server takes these.
    AfterValidator(storable_text),
]


class PageContext(BaseModel):
    """What the user looks at; "this trace" in a question means it."""

    model_config = ConfigDict(extra="forbid")

    agent_id: str | None = Field(default=None, pattern=_ENTITY_ID, description="The agent of the page.")
    trace_id: str | None = Field(default=None, pattern=_ENTITY_ID, description="The trace of the page.")
    span_id: str | None = Field(default=None, pattern=_ENTITY_ID, description="The span of the page.")


class ChatQuestion(BaseModel):
    """A question to Tracy."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    session_id: str | None = Field(
        default=None, pattern=SESSION_ID_PATTERN, description="Session to go on with; a new one without it."
    )
    page: PageContext = Field(default_factory=PageContext, description="What the user looks at.")
    payloads: bool = Field(
        default=False, description="Whether Tracy may read what went in and out of calls (payload columns)."
    )


class OwnQuestion(BaseModel):
    """A question of an agent about itself."""

    model_config = ConfigDict(extra="forbid")

    question: Question = "How am I doing: what did I spend, am I looping, what is left of my budget?"


class TracyState(Answer):
    """Whether Tracy can be asked."""

    is_configured: bool = Field(description="Whether there is a model to ask.")
    model: str | None = Field(description="The model; null when there is none.")
    how_to_configure: str | None = Field(description="What to set; null when there is a model.")

    @classmethod
    def of(cls, settings: TracySettings) -> Self:
        """Make it from the settings; neither key nor address is among it."""
        if not settings.is_configured:
            return cls(is_configured=False, model=None, how_to_configure=HOW_TO_CONFIGURE)
        return cls(is_configured=True, model=settings.tracy_model, how_to_configure=None)


class SessionItem(Answer):
    """One conversation."""

    session_id: str = Field(description="The session.")
    title: str = Field(description="Its first question, cut.")
    created_at: datetime = Field(description="When it began (UTC).")
    updated_at: datetime = Field(description="When the last question was answered (UTC).")

    @classmethod
    def of(cls, row: SessionRow) -> Self:
        """Make it from a row."""
        return cls(session_id=row.session_id, title=row.title, created_at=row.created_at, updated_at=row.updated_at)


class SessionList(Answer):
    """Conversations, the one used last first."""

    items: list[SessionItem] = Field(description="Sessions.")


class SessionTurn(Answer):
    """One question with its answer."""

    question: str = Field(description="The question.")
    page: dict[str, str] = Field(description="What the user looked at.")
    text: str = Field(description="The answer as it was shown.")
    events: list[dict[str, Any]] = Field(description="The events that were sent: {event, data}, in order.")
    failed: str | None = Field(description="Code of the error that ended it; null when it was answered.")
    asked_at: datetime | None = Field(description="When it was asked (UTC).")

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Make it from a stored turn."""
        return cls(**{name: getattr(turn, name) for name in cls.model_fields})


class SessionDetail(Answer):
    """One conversation with its turns."""

    session: SessionItem
    turns: list[SessionTurn] = Field(description="Turns, the first one first.")


class Deleted(Answer):
    """Something was deleted."""

    deleted: bool = Field(description="Always true.")
