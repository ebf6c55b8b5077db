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
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.runtime.kafka_security import uses_tls
from infra.runtime.settings import LOOPBACK

TRINO_KEYSTORE = "trino-server.pem"
KAFKA_CA = "kafka-ca.pem"
KAFKA_KEYSTORE = "kafka-server.pem"
TRINO_INTERNAL_SECRET = "trino-internal-secret"
POSTGRES_PASSWORD = "postgres-password"
# HS512 wants a key of at least 64 bytes; HS256 takes any longer one.
JWT_KEY_BYTES = 64


def ensure_credentials(layout: Layout) -> None:
    """Create every secret that is not there yet.

    Raises:
        StackError: the settings ask for TLS to Kafka and name another authority than the one made here.
    """
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
    if uses_tls(settings):
        if settings.kafka_ca_file != folder / KAFKA_CA:
            raise StackError(
                f"The local brokers are signed by {folder / KAFKA_CA}: set CLAWTRACE_KAFKA_CA_FILE to that."
            )
        _ensure_certificate(folder / KAFKA_CA, folder / KAFKA_KEYSTORE)


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
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    # Kafka reads no key in another form than this one.
    key_text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    write_private(keystore_file, (key_text + chain).decode())
    write_private(ca_file, authority.cert_pem.bytes().decode())
