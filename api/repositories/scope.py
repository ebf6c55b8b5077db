"""Who is asking: the tenant that every repository method takes first.

Upstream: the access key of the request (api/auth.py); never the request's body, path or query.
Downstream: every repository.
Guarantee: a scope can only be made from a tenant id of the closed alphabet; Trino sees its user and nothing else.
"""

from dataclasses import dataclass

from infra.runtime.trino_connection import API, OPERATOR, tenant_user


@dataclass(frozen=True, slots=True)
class Scope:
    """One tenant's view of the tables."""

    tenant_id: str

    def __post_init__(self) -> None:
        tenant_user(self.tenant_id)

    @property
    def login(self) -> tuple[str, str]:
        """The name that logs in to Trino and the user that it becomes."""
        return API, tenant_user(self.tenant_id)


@dataclass(frozen=True, slots=True)
class OperatorScope:
    """All tenants. Only for the command line of the machine that holds Trino's signing key; no request gets it."""

    @property
    def login(self) -> tuple[str, str]:
        """The name that logs in to Trino and the user that it becomes."""
        return OPERATOR, OPERATOR


AnyScope = Scope | OperatorScope
