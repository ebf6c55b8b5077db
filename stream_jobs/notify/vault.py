"""Encrypts what is secret in channels.

Upstream: channels as people set them.
Downstream: the column ``sealed``.
Guarantee: AES-256-GCM with a key that only its owner can read, made once; what is sealed opens for the channel it was
sealed for and no other.
"""

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class VaultClosed(Exception):
    """What is sealed cannot be opened, or nothing sealed; the text says what to do."""


class Vault:
    """Seals and opens with the key of one file."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def ensure_key(self) -> None:
        """Make the key if there is none.

        Raises:
            VaultClosed: the folder cannot be written.
        """
        if self._key_file.exists():
            return
        draft = self._key_file.with_name(f"{self._key_file.name}.{secrets.token_hex(4)}")
        try:
            self._key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)))
            try:
                # Of two processes that make one at once, the second keeps the first's.
                os.link(draft, self._key_file)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        except OSError as error:
            raise VaultClosed(f"the key file {self._key_file} cannot be made: {error.strerror}") from None

    def seal(self, plain: bytes, channel_id: str) -> bytes:
        """Encrypt for one channel.

        Raises:
            VaultClosed: there is no key.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self._key()).encrypt(nonce, plain, channel_id.encode())

    def open(self, sealed: bytes, channel_id: str) -> bytes:
        """Decrypt what was sealed for this channel.

        Raises:
            VaultClosed: there is no key, it is another, or the bytes were changed.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._key()).decrypt(nonce, rest, channel_id.encode())
        except (InvalidTag, ValueError):
            raise VaultClosed(
                f"the channel was saved with another key than that of {self._key_file}; bring that file back, or "
                "remove the channel and add it again"
            ) from None

    def _key(self) -> bytes:
        try:
            key = base64.b64decode(self._key_file.read_bytes(), validate=True)
        except OSError as error:
            raise VaultClosed(f"the key file {self._key_file} cannot be read: {error.strerror}") from None
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise VaultClosed(f"{self._key_file} does not hold {KEY_BYTES} bytes as base64")
        return key
