"""Makes the secrets that the containers share, once.

Upstream: the service ``secrets`` of compose.yaml.
Downstream: <home>/secrets in the volume of all processes and of Trino.
Guarantee: a file that is there is never changed; each can be read by its owner only.
"""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import trustme

from infra.runtime.settings import StackSettings

# Name of the service in compose.yaml: the certificate is made out to it.
TRINO_HOST = "trino"


def make_secrets(folder: Path) -> list[str]:
    """Make what is missing; return the names of the files that were made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    makers: dict[str, Callable[[], str]] = {
        "key-pepper": lambda: secrets.token_hex(32),
        "trino-jwt.key": lambda: base64.b64encode(secrets.token_bytes(64)).decode(),
    }
    made = [name for name, make in makers.items() if _write(folder / name, make)]
    if not (folder / "trino-ca.pem").exists():
        authority = trustme.CA(organization_name="ClawTrace containers")
        certificate = authority.issue_cert(TRINO_HOST, common_name=TRINO_HOST)
        (folder / "trino-server.pem").unlink(missing_ok=True)
        _write(folder / "trino-server.pem", lambda: certificate.private_key_and_cert_chain_pem.bytes().decode())
        # Last: its presence says that the pair is whole.
        _write(folder / "trino-ca.pem", lambda: authority.cert_pem.bytes().decode())
        made += ["trino-server.pem", "trino-ca.pem"]
    return made


def _write(path: Path, make: Callable[[], str]) -> bool:
    if path.exists():
        return False
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(make())
    return True


if __name__ == "__main__":
    print("made:", ", ".join(make_secrets(StackSettings().secrets_folder)) or "nothing")
