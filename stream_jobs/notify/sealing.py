"""A channel's target as it lies in Postgres: encrypted whole.

Upstream: ``admin`` seals.
Downstream: ``dispatch``, ``admin`` open.
Guarantee: what is opened is what was sealed, checked again.
"""

import msgspec

from stream_jobs.contracts.channel import Target, parse_target, reveal
from stream_jobs.notify.vault import Vault


def seal_target(vault: Vault, target: Target, channel_id: str) -> bytes:
    """Encrypt a target for its channel.

    Raises:
        VaultClosed: there is no key.
    """
    return vault.seal(msgspec.json.encode(reveal(target)), channel_id)


def open_target(vault: Vault, sealed: bytes, channel_id: str) -> Target:
    """Decrypt a target.

    Raises:
        VaultClosed: the key is missing or another.
        InvalidChannel: it was written by another version.
    """
    return parse_target(msgspec.json.decode(vault.open(sealed, channel_id)))
