"""The redo log of one agent: the changes of its newest record, written before the changes themselves.

Upstream: the stitcher, once the outputs of a record are acknowledged.
Downstream: the stitcher's next process, at the first record of that agent.
Guarantee: the changelog of a partition keeps its order, so a crash leaves a prefix of ``journal, change, change, …``.
Whoever finds the journal applies it again and has all of them; whoever does not finds none. The journal's revision is
also the mark below which records of the agent are done, so no second key is needed for that.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from infra.runtime.topics import MAX_RECORD_BYTES

# First byte of every key of the store: the core's keys can never meet ours.
CORE_PREFIX: Final = b"s"
JOURNAL_PREFIX: Final = b"j"

Change = tuple[bytes, bytes | None]


class Journal(msgspec.Struct, frozen=True, array_like=True):
    """Changes of one record; None deletes."""

    rev: int
    changes: list[Change]


class _Head(msgspec.Struct, frozen=True, array_like=True):
    rev: int
    num_parts: int
    digest: bytes
    first: bytes


_journal_decoder = msgspec.msgpack.Decoder(Journal)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_encoder = msgspec.msgpack.Encoder()


def core_key(key: bytes) -> bytes:
    """Key in the store of a key of the core."""
    return CORE_PREFIX + key


def _part_key(agent_key: bytes, part: int) -> bytes:
    return JOURNAL_PREFIX + agent_key + b"\x00" + str(part).encode()


def agent_of_head(key: bytes) -> bytes | None:
    """Return the key of the agent whose journal has its head under this key; None when it is no head."""
    return key[len(JOURNAL_PREFIX) : -2] if key.startswith(JOURNAL_PREFIX) and key.endswith(b"\x000") else None


def journal_writes(
    agent_key: bytes, rev: int, changes: Mapping[bytes, bytes | None], max_bytes: int = MAX_RECORD_BYTES
) -> Iterator[Change]:
    """Yield the writes that store a journal, the head last.

    The head carries the revision and the first part, and names how many follow. It is written after them: until it
    is there, the older head is in force, and that one was applied completely.
    """
    body = _encoder.encode(Journal(rev=rev, changes=list(changes.items())))
    parts = [body[start : start + max_bytes] for start in range(0, len(body), max_bytes)]
    for number, part in enumerate(parts[1:], start=1):
        yield _part_key(agent_key, number), part
    head = _Head(rev=rev, num_parts=len(parts), digest=_digest(body), first=parts[0])
    yield _part_key(agent_key, 0), _encoder.encode(head)


def read_journal(get: Callable[[bytes], bytes | None], agent_key: bytes) -> Journal | None:
    """Read the journal of an agent; None when it has none.

    Parts overwritten by a newer journal that never got its head do not fit the digest. The journal of the head was
    then applied completely before the newer one began: only its revision still counts.
    """
    stored = get(_part_key(agent_key, 0))
    if stored is None:
        return None
    head = _head_decoder.decode(stored)
    parts = [head.first, *(get(_part_key(agent_key, number)) or b"" for number in range(1, head.num_parts))]
    body = b"".join(parts)
    if _digest(body) != head.digest:
        return Journal(rev=head.rev, changes=[])
    return _journal_decoder.decode(body)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
