"""How a process of ours logs in to Trino: TLS, and a signed token that names who is asking.

Upstream: the address, the CA file and the signing key from StackSettings.
Downstream: the API (reads as a tenant), upkeep (as maintenance), `clawtrace sql` (as operator).
Guarantee: no other way in exists; the token lives for minutes, and Trino's own rules decide what each name
may see, so that a wrong caller gets a refusal and never somebody else's rows.
"""

import base64
import re
from datetime import UTC, datetime, timedelta

import jwt
import requests
from requests.adapters import HTTPAdapter
from trino.auth import JWTAuthentication
from trino.dbapi import Connection

from infra.runtime.settings import StackSettings

# Owns the views and runs upkeep; may write.
MAINTENANCE = "maintenance"
# A local administrator: reads everything, writes nothing.
OPERATOR = "operator"
# The API's own name; its only right is to become a tenant's user.
API = "clawtrace_api"
# Trino user of a tenant. The rules and the views cut these two characters off to find the tenant.
TENANT_USER_PREFIX = "t_"

TENANT_ID_PATTERN = "[a-z0-9]{6,32}"
_TENANT_ID = re.compile(TENANT_ID_PATTERN)
_PRINCIPALS = frozenset({MAINTENANCE, OPERATOR, API})

# Long enough for the slowest query the server allows, short enough to be worthless when found in a log.
_TOKEN_LIFETIME = timedelta(minutes=20)
# Clocks of two machines disagree by seconds.
_CLOCK_SKEW = timedelta(seconds=30)


class KeptTransport(HTTPAdapter):
    """TLS connections to Trino that outlive one query; who is asking is told anew with each request.

    A handshake costs both sides milliseconds of CPU, as much as a small query. Use it from any thread.
    """

    def __init__(self, num_connections: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=num_connections)

    def close(self) -> None:
        """Do nothing: the client closes its session after each query."""

    def shut(self) -> None:
        """Close the connections."""
        super().close()


def tenant_user(tenant_id: str) -> str:
    """Trino user of a tenant.

    Raises:
        ValueError: the id is not in the closed alphabet, so it must not become part of a user name.
    """
    if not _TENANT_ID.fullmatch(tenant_id):
        raise ValueError(f"not a tenant id: {tenant_id!r} (6 to 32 lower case letters and digits)")
    return f"{TENANT_USER_PREFIX}{tenant_id}"


def sign_token(settings: StackSettings, principal: str, lifetime: timedelta = _TOKEN_LIFETIME) -> str:
    """Sign a token that lets its holder log in to Trino as ``principal``.

    Raises:
        ValueError: nobody of that name may log in.
        FileNotFoundError: the stack was never started, so there is no key yet.
    """
    if principal not in _PRINCIPALS and principal != tenant_user(principal[len(TENANT_USER_PREFIX) :]):
        raise ValueError(f"nobody may log in to Trino as {principal!r}")
    # Trino decodes the file before it verifies; signing with the text itself gives 401 without a reason.
    key = base64.b64decode(settings.trino_jwt_key_file.read_text().strip())
    now = datetime.now(UTC)
    claims = {"sub": principal, "iat": now - _CLOCK_SKEW, "exp": now + lifetime}
    return jwt.encode(claims, key, algorithm="HS256")


def connect(
    settings: StackSettings,
    principal: str,
    user: str | None = None,
    *,
    request_timeout_s: float = 30.0,
    source: str = "clawtrace",
    schema: str = "clawtrace",
    session_properties: dict[str, str] | None = None,
    transport: KeptTransport | None = None,
) -> Connection:
    """Open a connection as ``principal``, which may impersonate ``user`` when Trino's rules allow it.

    No request is sent yet. ``request_timeout_s`` bounds one HTTP round trip, not the query. ``transport`` shares TLS
    connections between many of these; names and tokens are never shared.
    """
    session = requests.Session()
    # Packing a large result costs Trino and us more than sending it as it is over a machine's own network.
    session.headers["Accept-Encoding"] = "identity"
    if transport is not None:
        session.mount("https://", transport)
    # Without this, REQUESTS_CA_BUNDLE and the proxy variables of the environment override what is set here.
    session.trust_env = False
    session.verify = str(settings.trino_ca_file)
    return Connection(
        host=settings.trino_url,
        user=user or principal,
        auth=JWTAuthentication(sign_token(settings, principal)),
        catalog=settings.catalog_name,
        schema=schema,
        source=source,
        http_session=session,
        request_timeout=request_timeout_s,
        max_attempts=2,
        session_properties=session_properties,
        # Every supported server knows EXECUTE IMMEDIATE; finding out costs a query.
        legacy_prepared_statements=False,
        timezone="UTC",
    )
