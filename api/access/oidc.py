"""OpenID Connect: sends people to the provider of their organisation, and finds out who came back.

Upstream: api/routers/session.py.
Downstream: the provider: discovery, keys, token endpoint; the protocol is authlib's, tokens are checked with joserfc.
Guarantee: the code flow with PKCE, state and nonce, and nothing else. A name is believed only when the provider signed
it for us, with a key of its own and an asymmetric algorithm, for this very login. Nothing is sent without TLS, except
to this machine.
"""

import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import structlog
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ValidationError

_log = structlog.get_logger(__name__)

# HMAC is not among them: its key would be the client secret, and "none" is no signature.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S: Final = 60
TIMEOUT_S: Final = 10.0
METADATA_FRESH_S: Final = 3_600.0
# A token of a key we do not know makes us look once; not more often, whoever sends such tokens.
KEYS_RETRY_S: Final = 30.0
MAX_ANSWER_BYTES: Final = 1_000_000
MAX_NAME_CHARS: Final = 200


class ProviderAway(Exception):
    """The provider does not answer, or not as OpenID Connect says; the text is for the log."""


class LoginRefused(Exception):
    """The login does not count; the text may be shown."""


class _Metadata(BaseModel):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class LoginTry:
    """What was asked of the provider, to be compared with what comes back."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> "LoginTry":
        """Make one that nobody can guess."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says it is. ``member_ids`` are the ids by which a member may have been invited."""

    subject: str
    name: str
    member_ids: list[str]


@dataclass(frozen=True, slots=True)
class OidcClient:
    """How this install is registered with the provider. An empty secret makes a public client."""

    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    redirect_uri: str
    trusts_email: bool


class OidcProvider:
    """The provider of this install. One per process; close it."""

    def __init__(self, client: OidcClient) -> None:
        self._client = client
        self._http = httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._metadata: tuple[float, _Metadata] | None = None
        self._keys: KeySet | None = None
        self._keys_asked_at_s = float("-inf")
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def login_url(self, asked: LoginTry) -> str:
        """Return where to send the browser.

        Raises:
            ProviderAway: the provider does not say.
        """
        metadata = await self._discover()
        async with self._oauth(metadata) as oauth:
            url, _ = oauth.create_authorization_url(
                metadata.authorization_endpoint,
                state=asked.state,
                nonce=asked.nonce,
                code_verifier=asked.verifier,
            )
        return str(url)

    async def redeem(self, asked: LoginTry, *, code: str, state: str, issuer: str | None) -> Identity:
        """Return who came back with ``code`` and ``state``; ``issuer`` is the answer's ``iss``, if it has one.

        Raises:
            LoginRefused: it is not the answer to what was asked, or the token does not count.
            ProviderAway: the provider does not answer.
        """
        if not hmac.compare_digest(state.encode(), asked.state.encode()):
            raise LoginRefused("this is not the answer to the login that this browser began; begin again")
        metadata = await self._discover()
        if issuer is None and metadata.authorization_response_iss_parameter_supported:
            raise LoginRefused("the answer does not say which provider it is from")
        if issuer is not None and issuer != metadata.issuer:
            raise LoginRefused("the answer is from another provider")
        answer = await self._fetch_token(metadata, code, asked.verifier)
        return self._identity(await self._check(metadata, answer, asked.nonce))

    def _oauth(self, metadata: _Metadata) -> AsyncOAuth2Client:
        secret = self._client.client_secret
        methods = metadata.token_endpoint_auth_methods_supported
        method = "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
        # One for each login: it keeps the tokens that it fetches.
        return AsyncOAuth2Client(
            client_id=self._client.client_id,
            client_secret=secret or None,
            token_endpoint_auth_method=method if secret else "none",
            scope=self._client.scopes,
            redirect_uri=self._client.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )

    async def _discover(self) -> _Metadata:
        if self._metadata is not None and time.monotonic() - self._metadata[0] < METADATA_FRESH_S:
            return self._metadata[1]
        async with self._asking:
            found = await self._get(f"{self._client.issuer.rstrip('/')}/.well-known/openid-configuration")
            try:
                metadata = _Metadata.model_validate(found)
            except ValidationError as error:
                raise ProviderAway(f"its configuration lacks something: {error.error_count()} fields") from error
            # Otherwise one provider could answer for another.
            if metadata.issuer != self._client.issuer:
                raise ProviderAway(f"it says that it is {metadata.issuer}, not {self._client.issuer}")
            for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
                _check_url(url)
            self._metadata = (time.monotonic(), metadata)
            return metadata

    async def _fetch_token(self, metadata: _Metadata, code: str, verifier: str) -> dict[str, Any]:
        try:
            async with self._oauth(metadata) as oauth:
                answer: dict[str, Any] = await oauth.fetch_token(
                    metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
                )
        except OAuthError as error:
            _log.warning("oidc_code_refused", error=str(error.error)[:100])
            raise LoginRefused("the provider does not take the code; begin again") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise ProviderAway(f"{metadata.token_endpoint}: {type(error).__name__}") from error
        if not isinstance(answer.get("id_token"), str):
            raise LoginRefused("the provider's answer names nobody: it has no id_token; ask for the scope openid")
        return answer

    async def _check(self, metadata: _Metadata, answer: dict[str, Any], nonce: str) -> CodeIDToken:
        try:
            token = await self._decode(metadata, answer["id_token"])
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": metadata.issuer},
                    "aud": {"essential": True, "value": self._client.client_id},
                    "nonce": {"essential": True},
                },
                params={
                    "nonce": nonce,
                    "client_id": self._client.client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError) as error:
            _log.warning("oidc_token_refused", reason=str(error))
            raise LoginRefused(f"the provider's token does not count: {error}") from error
        return claims

    async def _decode(self, metadata: _Metadata, token: str) -> jwt.Token:
        if self._keys is None:
            self._keys = await self._get_keys(metadata)
        try:
            return jwt.decode(token, self._keys, algorithms=ALGORITHMS)
        except InvalidKeyIdError:
            if time.monotonic() - self._keys_asked_at_s < KEYS_RETRY_S:
                raise
        self._keys = await self._get_keys(metadata)
        return jwt.decode(token, self._keys, algorithms=ALGORITHMS)

    async def _get_keys(self, metadata: _Metadata) -> KeySet:
        found: Any = await self._get(metadata.jwks_uri)
        try:
            keys = KeySet.import_key_set(found)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderAway(f"its keys cannot be read: {type(error).__name__}") from error
        # Counted from the second look on: the first comes before anybody showed a token of a key we lack.
        self._keys_asked_at_s = float("-inf") if self._keys is None else time.monotonic()
        return keys

    def _identity(self, claims: CodeIDToken) -> Identity:
        subject, email = str(claims["sub"]), str(claims.get("email") or "").strip().lower()
        is_verified = claims.get("email_verified") in (True, "true") or (
            self._client.trusts_email and "email_verified" not in claims
        )
        ids = [email] if email and is_verified else []
        # Members are written in small letters: a subject with others must not become somebody else. What looks like an
        # address must be a verified one.
        if "@" not in subject and subject == subject.lower():
            ids.append(subject)
        name = str(claims.get("name") or claims.get("preferred_username") or email or subject)
        return Identity(subject, "".join(c for c in name if c.isprintable())[:MAX_NAME_CHARS], ids)

    async def _get(self, url: str) -> dict[str, Any]:
        _check_url(url)
        try:
            answer = await self._http.get(url, headers={"Accept": "application/json"})
        except httpx2.HTTPError as error:
            raise ProviderAway(f"{url}: {type(error).__name__}") from error
        if answer.status_code != 200:
            raise ProviderAway(f"{url} answers {answer.status_code}")
        return _json(answer)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
        raise ProviderAway(f"{url[:200]} is no https address")


def _json(answer: httpx2.Response) -> dict[str, Any]:
    if len(answer.content) > MAX_ANSWER_BYTES:
        raise ProviderAway("its answer is too large")
    try:
        body = answer.json()
    except ValueError as error:
        raise ProviderAway("its answer is no JSON") from error
    if not isinstance(body, dict):
        raise ProviderAway("its answer is no JSON object")
    return body
