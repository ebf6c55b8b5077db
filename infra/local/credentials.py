"""Secrets of the local stack: made once, kept in <home>/secrets.

Upstream: `clawtrace up`.
Downstream: Postgres, Trino, the gateway and the API read the files by the paths in StackSettings.
Guarantee: existing files are never changed; the folder is 0700 and each file 0600.
"""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import trustme

from infra.local.layout import Layout
from infra.runtime.settings import LOOPBACK

TRINO_KEYSTORE = "trino-server.pem"
TRINO_INTERNAL_SECRET = "trino-internal-secret"
POSTGRES_PASSWORD = "postgres-password"
# HS512 wants a key of at least 64 bytes; HS256 takes any longer one.
JWT_KEY_BYTES = 64


def ensure_credentials(layout: Layout) -> None:
    """Create every secret that is not there yet."""
    folder = layout.secrets
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    settings = layout.settings
    _ensure(folder / POSTGRES_PASSWORD, lambda: secrets.token_urlsafe(24))
    _ensure(folder / TRINO_INTERNAL_SECRET, lambda: secrets.token_urlsafe(48))
    if settings.trino_jwt_key_file.parent == folder:
        _ensure(settings.trino_jwt_key_file, _new_jwt_key)
    if settings.key_pepper_file.parent == folder:
        _ensure(settings.key_pepper_file, lambda: secrets.token_hex(32))
    _ensure_certificate(folder / "trino-ca.pem", folder / TRINO_KEYSTORE)


def read_secret(layout: Layout, name: str) -> str:
    """One secret by file name."""
    return (layout.secrets / name).read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, complete or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def _new_jwt_key() -> str:
    return base64.b64encode(secrets.token_bytes(JWT_KEY_BYTES)).decode()


def _ensure(path: Path, make: Callable[[], str]) -> None:
    if not path.exists():
        write_private(path, make())


def _ensure_certificate(ca_file: Path, keystore_file: Path) -> None:
    if ca_file.exists() and keystore_file.exists():
        return
    authority = trustme.CA(organization_name="ClawTrace local stack")
    certificate = authority.issue_cert(LOOPBACK, "localhost", common_name=LOOPBACK)
    write_private(keystore_file, certificate.private_key_and_cert_chain_pem.bytes().decode())
    write_private(ca_file, authority.cert_pem.bytes().decode())
