"""Access keys: what they look like, where their hashes are, and how keys are made and revoked.

Upstream: ``clawtrace keys``.
Downstream: ``infra.runtime.key_store``, through which the gateway and the API look keys up.
Guarantee: a key is shown once and only its hash is stored; a mistyped key is told without asking the database.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import sqlalchemy as sa
from sqlalchemy import Engine, Row

from infra.runtime.database import DatabaseAway, metadata, transaction

Scope = Literal["ingest", "read", "operate", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

TENANT_ID: Final = re.compile(r"[a-z0-9]{6,32}")
AGENT_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

KEY_ID_LENGTH: Final = 12
# 62^43 > 2^256: 43 letters carry the whole 256 bits.
SECRET_LENGTH: Final = 43
SECRET_BITS: Final = 256
CHECKSUM_LENGTH: Final = 6
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_ID_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEY: Final = re.compile(
    rf"ct_({'|'.join(SCOPES)})_([0-9a-z]{{{KEY_ID_LENGTH}}})_"
    rf"([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("agent_id", sa.Text),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a key speaks for. ``agent_id`` is always set for ingest keys."""

    key_id: str
    tenant_id: str
    agent_id: str | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A stored key."""

    principal: Principal
    hash: bytes
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; the only moment its text exists on our side."""

    key: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The parts of a well-formed key."""

    scope: Scope
    key_id: str
    secret: str


class InvalidKeyRequest(ValueError):
    """A key was asked for with a tenant, agent or scope that cannot be; the text says what can."""


def read_pepper(path: Path) -> bytes:
    """Return the secret that is mixed into every hash.

    Raises:
        DatabaseAway: the file is not there, because the stack was never started.
    """
    try:
        pepper = path.read_bytes().strip()
    except OSError:
        raise DatabaseAway(f"no key pepper at {path}; start the stack first (make up)") from None
    if len(pepper) < 16:
        raise DatabaseAway(f"the key pepper at {path} is shorter than 16 bytes; restore it from your backup")
    return pepper


def hash_secret(pepper: bytes, secret: str) -> bytes:
    """Hash a secret for storage. A plain SHA-256 is enough: 256 random bits cannot be guessed, so need no slow hash."""
    return hashlib.sha256(pepper + secret.encode()).digest()


def parse_key(key: str) -> KeyParts | None:
    """Take a key apart; None when it is not well formed or its checksum is wrong."""
    match = _KEY.fullmatch(key)
    if match is None or not secrets.compare_digest(_checksum(key[:-CHECKSUM_LENGTH]), match[4]):
        return None
    return KeyParts(scope=cast(Scope, match[1]), key_id=match[2], secret=match[3])


def new_key_text(scope: Scope) -> tuple[str, str, str]:
    """Make a key; return its text, its id and its secret."""
    key_id = "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(KEY_ID_LENGTH))
    secret = _base62(secrets.randbits(SECRET_BITS), SECRET_LENGTH)
    text = f"ct_{scope}_{key_id}_{secret}"
    return text + _checksum(text), key_id, secret


def _base62(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        letters.append(_BASE62[digit])
    return "".join(reversed(letters))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_LENGTH)


def prepare_key(pepper: bytes, *, tenant_id: str, agent_id: str | None, scope: str) -> tuple[NewKey, dict[str, Any]]:
    """Make a key that is not stored yet; return it and its row of ``access_keys``.

    Raises:
        InvalidKeyRequest: tenant, agent or scope cannot be.
    """
    if scope not in SCOPES:
        raise InvalidKeyRequest(f"scope {scope!r} is unknown; use one of {', '.join(SCOPES)}")
    if not TENANT_ID.fullmatch(tenant_id):
        raise InvalidKeyRequest(f"tenant {tenant_id!r}: use 6 to 32 small letters and digits")
    if agent_id is not None and not AGENT_ID.fullmatch(agent_id):
        raise InvalidKeyRequest(
            f"agent {agent_id!r}: use up to 64 small letters, digits, - and _, starting with a letter or digit"
        )
    if scope == "ingest" and agent_id is None:
        raise InvalidKeyRequest("an ingest key speaks for one agent: name it with --agent")
    key, key_id, secret = new_key_text(scope)
    row = {"key_id": key_id, "tenant_id": tenant_id, "agent_id": agent_id, "scope": scope}
    principal = Principal(key_id, tenant_id, agent_id, scope)
    return NewKey(key=key, principal=principal), {**row, "hash": hash_secret(pepper, secret)}


def create_key(engine: Engine, pepper: bytes, *, tenant_id: str, agent_id: str | None, scope: str) -> NewKey:
    """Make and store a key.

    Raises:
        InvalidKeyRequest: tenant, agent or scope cannot be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    made, row = prepare_key(pepper, tenant_id=tenant_id, agent_id=agent_id, scope=scope)
    _run(engine, access_keys.insert().values(**row))
    return made


def list_keys(engine: Engine) -> list[KeyRecord]:
    """Return every key, oldest first, revoked ones too.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    return [_record(row) for row in _run(engine, access_keys.select().order_by(access_keys.c.created_at))]


def find_key(engine: Engine, key_id: str) -> KeyRecord | None:
    """Return one key.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    rows = _run(engine, access_keys.select().where(access_keys.c.key_id == key_id))
    return _record(rows[0]) if rows else None


def revoke_key(engine: Engine, key_id: str) -> bool:
    """Revoke a key; False when there is none of that id. Revoking twice keeps the first instant.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    statement = (
        access_keys.update()
        .where(access_keys.c.key_id == key_id)
        .values(revoked_at=sa.func.coalesce(access_keys.c.revoked_at, sa.func.now()))
        .returning(access_keys.c.key_id)
    )
    return bool(_run(engine, statement))


def note_use(engine: Engine, key_id: str) -> None:
    """Write down that a key was used just now.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    _run(
        engine,
        access_keys.update().where(access_keys.c.key_id == key_id).values(last_used_at=sa.func.now()),
    )


def _run(engine: Engine, statement: sa.Executable) -> list[Row[Any]]:
    with transaction(engine) as connection:
        result = connection.execute(statement)
        return list(result) if result.returns_rows else []


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        principal=Principal(row.key_id, row.tenant_id, row.agent_id, cast(Scope, row.scope)),
        hash=bytes(row.hash),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
