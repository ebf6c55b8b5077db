"""What the routes of keys, members, tenants and the audit log take and answer.

Upstream: api/repositories/access.py.
Downstream: OpenAPI, clients.
Guarantee: the text of a key is in the answer that made it and nowhere else.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.access.caller import Role
from api.schemas.common import Answer
from infra.runtime.access_keys import Scope as KeyScope

MemberId = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s\x00-\x1f]+$")]


class KeyItem(Answer):
    """One access key, without its secret."""

    key_id: str = Field(description="Name of the key, a part of its text.")
    scope: KeyScope = Field(description="ingest: send; read: viewer; operate: operator; admin: admin.")
    agent_id: str | None = Field(description="The OpenClaw install that an ingest key speaks for.")
    created_at: datetime = Field(description="When it was made (UTC).")
    revoked_at: datetime | None = Field(description="When it was revoked (UTC); null while it is good.")
    last_used_at: datetime | None = Field(description="When it was last used, to a minute (UTC).")


class KeyList(Answer):
    """Every key of the tenant."""

    items: list[KeyItem] = Field(description="Keys, newest first, revoked ones too.")


class KeyRequest(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    scope: KeyScope = Field(description="ingest, read, operate or admin.")
    agent_id: str | None = Field(None, max_length=64, description="The OpenClaw install; ingest keys need one.")


class KeyMade(Answer):
    """A key just made. This is the only time its text is shown."""

    key: str = Field(description="The key. Keep it: it cannot be shown again.")
    key_id: str = Field(description="Name of the key.")
    scope: KeyScope = Field(description="What it is good for.")
    agent_id: str | None = Field(description="The OpenClaw install that an ingest key speaks for.")


class MemberItem(Answer):
    """One person."""

    member_id: str = Field(description="The e-mail address or subject by which the person logs in.")
    role: Role = Field(description="viewer, operator or admin.")
    created_at: datetime = Field(description="When the person became a member (UTC).")


class MemberList(Answer):
    """Every member of the tenant."""

    items: list[MemberItem] = Field(description="Members in the order of their ids.")


class MemberRequest(BaseModel):
    """What a person may do."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Field(description="viewer: reads; operator: also sees to alerts; admin: also decides who may.")


class TenantItem(Answer):
    """One tenant that the caller belongs to."""

    tenant_id: str = Field(description="The tenant.")
    name: str | None = Field(description="Its name for people.")
    role: Role = Field(description="What the caller may do there.")


class TenantList(Answer):
    """The tenants that the caller belongs to."""

    items: list[TenantItem] = Field(description="For a key: its one tenant.")


class TenantRequest(BaseModel):
    """What a tenant is called."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$", description="Its name for people.")


class Me(Answer):
    """Who the key speaks for."""

    tenant_id: str = Field(description="The tenant.")
    role: Role = Field(description="viewer, operator or admin.")
    actor: str = Field(description="What the audit log calls the caller.")


class AuditEntry(Answer):
    """One change."""

    at: datetime = Field(description="When (UTC).")
    actor: str = Field(description="Who: key:… or a member.")
    action: str = Field(description="What, such as key.revoke or alert.ack.")
    target: str = Field(description="Which key, member or alert.")
    details: dict[str, Any] = Field(description="What it became.")


class AuditPage(Answer):
    """One page of changes, newest first."""

    items: list[AuditEntry] = Field(description="Changes of this page.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")
