"""Who asks, and what he, she or it may do: roles.

Upstream: the request's access key.
Downstream: the routes, as dependencies.
Guarantee: viewers read, operators also see to alerts, admins also decide who may do what; each role may do what the
one before it may. A route that changes something names the role it needs, and gets the name for the audit log.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends, Request

from api.repositories.scope import Scope
from api.services import BearerDep, Services, ServicesDep
from infra.runtime.access_keys import Principal
from infra.runtime.problem import forbidden

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
ROLE_OF_SCOPE: dict[str, Role] = {"read": "viewer", "operate": "operator", "admin": "admin"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``actor`` is what the audit log says, such as key:abc."""

    scope: Scope
    role: Role
    actor: str

    @classmethod
    def of_key(cls, principal: Principal) -> "Caller":
        """The caller that a key speaks for."""
        return cls(Scope(principal.tenant_id), ROLE_OF_SCOPE[principal.scope], f"key:{principal.key_id}")


async def find_caller(services: Services, authorization: str | None) -> Caller:
    """Return who an ``Authorization`` header speaks for.

    Raises:
        Problem: 401, 403 or 503, see KeyStore.authenticate.
    """
    return Caller.of_key(await services.keys.authenticate(authorization, "read", "operate", "admin"))


def at_least(role: Role) -> Callable[..., Awaitable[Caller]]:
    """Return a dependency that gives the caller, if the role is enough."""

    async def caller_of(request: Request, services: ServicesDep, _: BearerDep) -> Caller:
        caller = await find_caller(services, request.headers.get("authorization"))
        if ROLES.index(caller.role) < ROLES.index(role):
            raise forbidden(f"this needs the role {role}; yours is {caller.role}")
        return caller

    return caller_of


ViewerDep = Annotated[Caller, Depends(at_least("viewer"))]
OperatorDep = Annotated[Caller, Depends(at_least("operator"))]
AdminDep = Annotated[Caller, Depends(at_least("admin"))]
