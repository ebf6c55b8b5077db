"""What the routes of retention and of erasure take and answer.

Upstream: lakehouse.contracts.retention, lakehouse.contracts.erasure.
Downstream: OpenAPI, the web UI, clients.
Guarantee: days are whole days (UTC); a receipt says what was done, and what is left until when.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Answer
from lakehouse.contracts.erasure import ErasureScope, Receipt
from lakehouse.contracts.retention import MAX_DAYS, MIN_DAYS, RetainedTable

ErasureState = Literal["asked", "running", "done", "failed"]
_NO_CONTROLS = r"^[^\x00-\x1f]+$"


class RetentionItem(Answer):
    """How long the rows of one table stay."""

    table: RetainedTable = Field(description="The table, as in SQL.")
    days: int = Field(description="Rows whose day (UTC) is longer ago are deleted.")
    default_days: int = Field(description="What holds when the tenant sets nothing.")
    is_own: bool = Field(description="Whether the tenant has set it.")
    num_rows_older: int | None = Field(
        None, description="Rows that the next deletion takes, as the view counts them; null when it was not asked for."
    )


class RetentionList(Answer):
    """How long rows stay, by table."""

    min_days: int = Field(MIN_DAYS, description="Least that can be set.")
    max_days: int = Field(MAX_DAYS, description="Most that can be set.")
    tables: list[RetentionItem] = Field(description="Every table that grows old.")


class RetentionRequest(BaseModel):
    """Days for one table."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(ge=MIN_DAYS, le=MAX_DAYS, strict=True, description="Whole days that rows stay.")


class ErasureRequest(BaseModel):
    """What is to be erased for good."""

    model_config = ConfigDict(extra="forbid")

    scope: ErasureScope = Field(description="One trace, one session with all its traces until now, or the tenant.")
    id: str = Field(
        min_length=1,
        max_length=512,
        pattern=_NO_CONTROLS,
        description="Trace id; session key or session id; for the tenant its own id, so that nobody does it unawares.",
    )
    agent_id: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description="Only of this OpenClaw install; without it of all: two installs may have sessions of one key.",
    )
    reason: str = Field("", max_length=500, pattern=r"^[^\x00-\x1f]*$", description="Why; it is kept with the receipt.")


class ErasureJob(Answer):
    """An erasure: how far it is, and its receipt."""

    erasure_id: str = Field(description="Names it.")
    scope: ErasureScope = Field(description="trace, session or tenant.")
    id: str = Field(description="Which one.")
    agent_id: str | None = Field(description="Only of this OpenClaw install; null: of all.")
    reason: str = Field(description="Why.")
    state: ErasureState = Field(
        description="asked: nobody can read it through the API's live window and nothing of it is stored any more; "
        "running: it is being deleted; done: see the receipt; failed: see the error."
    )
    step: str = Field(description="What is being done now; empty when nothing is.")
    asked_by: str = Field(description="Who, as the audit log says it.")
    asked_at: datetime = Field(description="When (UTC).")
    updated_at: datetime = Field(description="When it last said how far it is (UTC).")
    receipt: Receipt | None = Field(description="What was erased, and what is left until when; null until it is done.")
    error: str = Field(description="Why it failed, or why the last try did; empty when neither.")


class ErasureList(Answer):
    """The newest erasures of the tenant."""

    items: list[ErasureJob] = Field(description="Newest first, at most 50.")
