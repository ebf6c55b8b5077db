"""Keys have their form, carry their checksum, and only their hash is kept."""

import hashlib
import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from infra.runtime.access_keys import (
    SCOPES,
    InvalidKeyRequest,
    Scope,
    create_key,
    find_key,
    hash_secret,
    list_keys,
    new_key_text,
    parse_key,
    read_pepper,
    revoke_key,
)
from infra.runtime.database import DatabaseAway
from tests.unit.infra.runtime.keys_in_sqlite import PEPPER


@pytest.mark.parametrize("scope", SCOPES)
def test_a_new_key_has_its_form_and_comes_apart_again(scope: Scope) -> None:
    key, key_id, secret = new_key_text(scope)
    assert re.fullmatch(rf"ct_{scope}_[a-z0-9]{{12}}_[A-Za-z0-9]{{49}}", key)
    parts = parse_key(key)
    assert parts is not None
    assert (parts.scope, parts.key_id, parts.secret) == (scope, key_id, secret)


def test_no_two_keys_are_alike() -> None:
    keys = {new_key_text("read")[0] for _ in range(1_000)}
    assert len(keys) == 1_000


def test_every_single_mistyped_letter_is_told_without_the_database() -> None:
    key, _, _ = new_key_text("ingest")
    for at in range(len(key)):
        for wrong in ("0", "z", "_", "é"):
            if key[at] != wrong:
                assert parse_key(key[:at] + wrong + key[at + 1 :]) is None


@pytest.mark.parametrize("text", ["", "ct_", "ct_ingest__", "x" * 10_000, "ct_root_" + "a" * 12 + "_" + "b" * 49])
def test_what_is_no_key_is_no_key(text: str) -> None:
    assert parse_key(text) is None


def test_the_hash_is_sha256_of_pepper_and_secret() -> None:
    assert hash_secret(b"pepper", "secret") == hashlib.sha256(b"peppersecret").digest()
    assert hash_secret(b"other", "secret") != hash_secret(b"pepper", "secret")


def test_the_secret_is_not_stored(engine: Engine) -> None:
    made = create_key(engine, PEPPER, tenant_id="tenant1", agent_id="a-1", scope="ingest")
    record = find_key(engine, made.principal.key_id)
    parts = parse_key(made.key)
    assert record is not None
    assert parts is not None
    assert record.principal == made.principal
    assert record.hash == hash_secret(PEPPER, parts.secret)
    assert parts.secret not in repr(record)
    assert record.last_used_at is None


def test_revoking_twice_keeps_the_first_instant(engine: Engine) -> None:
    key_id = create_key(engine, PEPPER, tenant_id="tenant1", agent_id=None, scope="read").principal.key_id
    assert revoke_key(engine, key_id)
    [first] = list_keys(engine)
    assert revoke_key(engine, key_id)
    [second] = list_keys(engine)
    assert first.revoked_at is not None
    assert first.revoked_at == second.revoked_at
    assert not revoke_key(engine, "nosuchkey000")


@pytest.mark.parametrize(
    ("tenant_id", "agent_id", "scope", "said"),
    [
        ("short", "a", "ingest", "tenant"),
        ("UPPERCASE", "a", "ingest", "tenant"),
        ("tenant1\n", "a", "ingest", "tenant"),
        ("tenant1' or 1=1", "a", "ingest", "tenant"),
        ("tenant1", "-a", "ingest", "agent"),
        ("tenant1", "a|b", "ingest", "agent"),
        ("tenant1", "a" * 65, "ingest", "agent"),
        ("tenant1", None, "ingest", "--agent"),
        ("tenant1", "a", "root", "scope"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    engine: Engine, tenant_id: str, agent_id: str | None, scope: str, said: str
) -> None:
    with pytest.raises(InvalidKeyRequest, match=re.escape(said)):
        create_key(engine, PEPPER, tenant_id=tenant_id, agent_id=agent_id, scope=scope)
    assert list_keys(engine) == []


def test_a_missing_or_short_pepper_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="make up"):
        read_pepper(tmp_path / "none")
    (tmp_path / "short").write_text("abc")
    with pytest.raises(DatabaseAway, match="16 bytes"):
        read_pepper(tmp_path / "short")
