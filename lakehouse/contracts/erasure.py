"""The receipt of an erasure: what was asked, what was done, and what is left until when.

Upstream: lakehouse.erasure fills it.
Downstream: control.erasures keeps it; the API and `clawtrace lake erase` show it.
Guarantee: pure. It never holds anything of what was erased but its id.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ErasureScope = Literal["trace", "session", "tenant"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErasedTable(_Part):
    """What was done to one table."""

    table: str = Field(description="The table.")
    num_rows: int = Field(description="Rows deleted, revisions included.")
    num_files_replaced: int = Field(description="Data files that held such rows, taken out of the table.")
    num_snapshots_expired: int = Field(description="Older versions of the table that could be travelled back to.")
    num_files_removed: int = Field(description="Data files removed from the warehouse.")


class TopicRest(_Part):
    """Bytes that a topic keeps until its retention drops them."""

    topic: str = Field(description="The topic.")
    retention_hours: float | None = Field(description="Its retention; null when it keeps everything.")
    gone_by: datetime | None = Field(
        description="Instant (UTC) past which no record from before the erasure is left; null when that is not known."
    )


class OtherRest(_Part):
    """What lies elsewhere and is not erased by this."""

    place: str = Field(description="Where.")
    what: str = Field(description="What may be there.")
    until: str = Field(description="Until when, or who removes it.")


class Receipt(_Part):
    """What was erased."""

    scope: ErasureScope = Field(description="trace, session or tenant.")
    id: str = Field(description="Which one.")
    tenant_id: str = Field(description="Whose.")
    reason: str = Field(description="Why, as it was asked.")
    asked_at: datetime = Field(description="When it was asked (UTC); from then on nothing of it is stored or shown.")
    finished_at: datetime = Field(description="When the last check was done (UTC).")
    num_traces: int = Field(description="Traces that it named; for a tenant those that the tables had.")
    tables: list[ErasedTable] = Field(description="What was done, by table.")
    num_blobs_removed: int = Field(description="Payloads that were stored apart, removed.")
    num_ingest_keys_revoked: int = Field(description="Keys revoked, so that nothing new comes; for a tenant only.")
    num_rows_left: int = Field(description="Rows that the last look at tables and snapshots still found: 0.")
    num_files_left: int = Field(description="Data files of the warehouse that still held such rows: 0.")
    topics: list[TopicRest] = Field(description="Until when which topic still has the bytes; nobody can ask for them.")
    elsewhere: list[OtherRest] = Field(description="What is not part of it, in plain words.")
