"""One login through the provider, from the click to the session.

Upstream: api/routers/session.py.
Downstream: api/access/oidc.py and session_store.py.
Guarantee: what the browser has to remember in between is signed, lasts ten minutes, and leads back to our own pages
only. Who is no member gets no session, whatever the provider says.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from api.access.oidc import LoginRefused, LoginTry, OidcClient, OidcProvider
from api.access.session_store import NewSession, SessionStore
from api.settings import ApiSettings

LASTS_S: Final = 600
_AUDIENCE: Final = "clawtrace-login"
_ALGORITHM: Final = "HS256"


class NotAMember(Exception):
    """The provider knows the person, no tenant does; the text may be shown."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A login under way: where to send the browser, and what it must remember."""

    url: str
    memory: str


class OidcLogin:
    """Logins of this install through its provider."""

    def __init__(self, settings: ApiSettings, pepper: bytes, sessions: SessionStore) -> None:
        base = settings.api_public_url or settings.api_url
        self._provider = OidcProvider(
            OidcClient(
                issuer=settings.oidc_issuer,
                client_id=settings.oidc_client_id,
                client_secret=settings.oidc_client_secret.get_secret_value(),
                scopes=settings.oidc_scopes,
                redirect_uri=f"{base.rstrip('/')}/v1/session/oidc/callback",
                trusts_email=settings.oidc_trust_email,
            )
        )
        self._sessions = sessions
        # A key of its own: what is signed here must never pass for something else that the pepper protects.
        self._key = hashlib.sha256(b"login memory" + pepper).digest()

    async def begin(self, following: str, tenant_id: str | None) -> Begun:
        """Begin; ``following`` is the path to come back to.

        Raises:
            ProviderAway: the provider does not answer.
        """
        asked = LoginTry.new()
        memory = {
            **asdict(asked),
            "following": following,
            "tenant_id": tenant_id,
            "aud": _AUDIENCE,
            "exp": datetime.now(UTC) + timedelta(seconds=LASTS_S),
        }
        return Begun(await self._provider.login_url(asked), jwt.encode(memory, self._key, _ALGORITHM))

    async def finish(self, memory: str, *, code: str, state: str, issuer: str | None) -> tuple[NewSession, str]:
        """Return the session and the path to go to.

        Raises:
            LoginRefused: the login does not count.
            NotAMember: nobody invited this person.
            ProviderAway, DatabaseAway: the provider or Postgres does not answer.
        """
        try:
            asked = jwt.decode(
                memory, self._key, algorithms=[_ALGORITHM], audience=_AUDIENCE, options={"require": ["exp", "aud"]}
            )
        except jwt.InvalidTokenError as error:
            raise LoginRefused("this browser began no login, or too long ago; begin again") from error
        tried = LoginTry(asked["state"], asked["nonce"], asked["verifier"])
        person = await self._provider.redeem(tried, code=code, state=state, issuer=issuer)
        found = await self._sessions.find_memberships(person.member_ids) if person.member_ids else []
        wanted = [one for one in found if asked["tenant_id"] in (None, one.tenant_id)]
        if not wanted:
            raise NotAMember(f"{person.name} is no member here; an admin can invite {' or '.join(person.member_ids)}")
        return await self._sessions.start_for_member(wanted[0], person.name), str(asked["following"])

    async def close(self) -> None:
        """Close the connections."""
        await self._provider.close()
