"""Who asks, and in which role.

Upstream: api/access/door.py makes it from an access key or a session.
Downstream: the routes; the audit log names the actor.
Guarantee: viewers read, operators also see to alerts, admins also decide who may do what; each role may do what the
one before it may.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from api.repositories.scope import Scope
from infra.runtime.access_keys import Principal

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
ROLE_OF_SCOPE: dict[str, Role] = {"read": "viewer", "operate": "operator", "admin": "admin"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``actor`` is what the audit log says, such as key:abc; ``name`` is for people.

    ``session_id`` and ``expires_at`` are those of a session; None for keys.
    """

    scope: Scope
    role: Role
    actor: str
    name: str
    session_id: str | None = None
    expires_at: datetime | None = None

    @classmethod
    def of_key(cls, principal: Principal) -> "Caller":
        """The caller that a key speaks for."""
        name = f"key:{principal.key_id}"
        return cls(Scope(principal.tenant_id), ROLE_OF_SCOPE[principal.scope], name, name)

    @property
    def label(self) -> str:
        """Name for people, with the id that the audit log knows when it is another."""
        return self.name if self.name == self.actor else f"{self.name} ({self.actor})"

    def may(self, role: Role) -> bool:
        """Whether this role is enough for what needs ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


def lower_role(one: Role, other: Role) -> Role:
    """Return the one of the two that may do less."""
    return min(one, other, key=ROLES.index)
