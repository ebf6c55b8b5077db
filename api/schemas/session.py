"""What the routes of /v1/session take and answer.

Upstream: api/access.
Downstream: OpenAPI, the web UI.
Guarantee: neither a key nor a session's token is ever in an answer's body.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from api.access.caller import Caller, Role
from api.schemas.common import Answer


class SessionRequest(BaseModel):
    """Sign in with a key."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=256, description="An access key with the scope read, operate or admin.")


class SessionAnswer(Answer):
    """Who is signed in."""

    tenant_id: str = Field(description="The tenant.")
    role: Role = Field(description="viewer, operator or admin.")
    name: str = Field(description="What to call the caller.")
    expires_at: datetime | None = Field(description="When one has to sign in again (UTC); null for a key.")

    @classmethod
    def of(cls, caller: Caller) -> "SessionAnswer":
        """Make it from the caller."""
        return cls(tenant_id=caller.scope.tenant_id, role=caller.role, name=caller.name, expires_at=caller.expires_at)


class SessionMethods(Answer):
    """How one can sign in here."""

    key: bool = Field(description="With an access key: POST /v1/session.")
    oidc: bool = Field(description="With the provider of the organisation: send the browser to `oidc_login_path`.")
    oidc_login_path: str | None = Field(
        description="Takes `next`, a path of the UI to come back to, and `tenant_id`; null without a provider."
    )
