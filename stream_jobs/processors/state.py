"""The state of one partition as the core sees it: what a store holds, and what is decided but not written yet.

Upstream: the stitcher plans a record's changes at once and writes them when its outputs are acknowledged.
Downstream: the core reads through :class:`PartitionState`; where the values lie is the store's affair: ``local_state``
for the process, :class:`FileStore`, files alone, for whoever works on records without Faust.
Guarantee: a reader sees every earlier record of its partition, written or not.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from rocksdict import WriteBatch

from stream_jobs.processors.journal import Change, core_key


class PartitionStore(Protocol):
    """Where the state of one partition lies."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        ...

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin so, with their values, in their order."""
        ...

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Set values in order; None deletes. ``stored`` is called when ``get`` and ``scan`` know them."""
        ...


def as_batch(changes: Iterable[Change]) -> WriteBatch:
    """Make changes one step, in their order; None deletes."""
    batch = WriteBatch(raw_mode=True)
    for key, value in changes:
        if value is None:
            batch.delete(key)
        else:
            batch.put(key, value)
    return batch


class FileStore:
    """One partition in RocksDB files that are open, in raw mode; no changelog."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        value: bytes | None = self._files.get(key)
        return value

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin so, with their values, in their order."""
        for key, value in self._files.items(from_key=prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Set values in order; None deletes."""
        self._files.write(as_batch(changes))
        stored()


class PartitionState:
    """State of one partition as the next record must see it; the StateReader of the core."""

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        # key -> (number of the planned change, value). The number tells whether a newer change has come since.
        self._planned: dict[bytes, tuple[int, bytes | None]] = {}
        self._num_planned = 0

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of a key of the core, or None."""
        return self.get_raw(core_key(key))

    def get_raw(self, key: bytes) -> bytes | None:
        """Return the value of a key of the store, or None."""
        planned = self._planned.get(key)
        return planned[1] if planned is not None else self._store.get(key)

    def scan_raw(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys of the store that begin so, with their values; planned ones last."""
        for key, value in self._store.scan(prefix):
            if key not in self._planned:
                yield key, value
        for key, (_, planned) in list(self._planned.items()):
            if planned is not None and key.startswith(prefix):
                yield key, planned

    def plan(self, changes: Iterable[Change]) -> int:
        """Make changes visible to readers; return the number under which to write them."""
        self._num_planned += 1
        for key, value in changes:
            self._planned[key] = (self._num_planned, value)
        return self._num_planned

    async def write(self, number: int, changes: Sequence[Change]) -> None:
        """Write planned changes, in their order."""

        def forget() -> None:
            for key, _ in changes:
                if self._planned.get(key, (0, None))[0] == number:
                    del self._planned[key]

        await self._store.write(changes, forget)
