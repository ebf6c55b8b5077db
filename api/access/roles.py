"""What a route needs: a role, as a dependency that the route names.

Upstream: the routes.
Downstream: api/access/door.py.
Guarantee: a route that names no role is open to all; the OpenAPI document says the role of each (``x-clawtrace-role``),
and a test tries every one of them.
"""

from typing import Annotated, Final, cast

from fastapi import Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyCookie, HTTPBearer

from api.access.caller import ROLES, Caller, Role
from api.access.door import SESSION_COOKIE, UI_HEADER, Door
from api.repositories.scope import Scope

ROLE_FIELD: Final = "x-clawtrace-role"

# They only document the schemes in OpenAPI; the look-up, with our own errors, is the door's.
_bearer = HTTPBearer(
    auto_error=False, scheme_name="AccessKey", description="A key with the scope read, operate or admin."
)
_cookie = APIKeyCookie(
    name=SESSION_COOKIE,
    auto_error=False,
    scheme_name="Session",
    description=f"Set by signing in; whatever changes something also needs the header {UI_HEADER}, with any value.",
)


class AtLeast:
    """A dependency that gives the caller, if the role is enough."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(
        self,
        request: Request,
        _key: Annotated[object, Security(_bearer)],
        _session: Annotated[object, Security(_cookie)],
    ) -> Caller:
        """Return the caller.

        Raises:
            Problem: see Door.admit.
        """
        return await door_of(request).admit(request, self.role)


def door_of(request: Request) -> Door:
    """The door of this process."""
    return cast(Door, request.app.state.door)


_viewer = AtLeast("viewer")
ViewerDep = Annotated[Caller, Depends(_viewer)]
OperatorDep = Annotated[Caller, Depends(AtLeast("operator"))]
AdminDep = Annotated[Caller, Depends(AtLeast("admin"))]


async def scope_of(caller: ViewerDep) -> Scope:
    """The tenant of the caller."""
    return caller.scope


def role_of(route: APIRoute) -> Role | None:
    """Return the role that a route needs; None when it names none."""
    found = list(_roles(route.dependant))
    return max(found, key=ROLES.index) if found else None


def _roles(dependant: Dependant) -> list[Role]:
    own: list[Role] = [dependant.call.role] if isinstance(dependant.call, AtLeast) else []
    return own + [role for inner in dependant.dependencies for role in _roles(inner)]
