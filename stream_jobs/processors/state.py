"""The state of one partition: Faust's RocksDB files, its changelog, and what is decided but not written yet.

Upstream: the stitcher writes a record's changes once its outputs are acknowledged.
Downstream: the core reads through :class:`PartitionState`; Faust restores the files from the changelog. Who works on
records without Faust has :class:`FileStore`: files alone.
Guarantee: a reader sees every earlier record of its partition, written or not; writes reach changelog and files in the
order of the source records. The files are never ahead of the changelog: a write comes to them when it was
acknowledged, in one step with its offset. So what ``kill -9`` leaves behind is the state as it was at that offset, and
the next start reads the changelog from there.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from rocksdict import WriteBatch

from infra.runtime.fail_points import reach
from stream_jobs import metrics
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


class TableStore:
    """One partition of a Faust table.

    It goes to the table's store and changelog directly. Faust's ``table[key]`` needs the stream's current event to
    find the partition, and its ``del`` looks for the key in all partitions.
    """

    def __init__(self, table: Any, partition: int) -> None:
        self._table = table
        self._partition = partition
        self._num_revoked = table.data.num_revoked[partition]

    def get(self, key: bytes, /) -> bytes | None:
        """Read from the local files."""
        value: bytes | None = self._table.data._db_for_partition(self._partition).get(key)
        return value

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Read a range of the local files."""
        return FileStore(self._table.data._db_for_partition(self._partition)).scan(prefix)

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Send to the changelog; what it has acknowledged is written to the local files."""
        topic = self._table.changelog_topic.get_topic_name()
        last = await self._table.app.producer.buffer.send_changes(topic, self._partition, changes)
        reach("stitcher.changes_sent")
        last.add_done_callback(lambda sent: self._on_acknowledged(sent, changes, stored))
        metrics.STATE_WRITES.inc(len(changes))

    def _on_acknowledged(
        self, last: "asyncio.Future[Any]", changes: Sequence[Change], stored: Callable[[], None]
    ) -> None:
        app, data = self._table.app, self._table.data
        # After a failure nothing more may come into the files: they would have a hole.
        if last.cancelled() or app.producer.buffer.failure is not None or app.failure is not None:
            return
        if data.num_revoked[self._partition] != self._num_revoked:
            return  # the files are no longer those that this write belongs to
        batch = as_batch(changes)
        # Where the next start begins to read the changelog.
        batch.put(data.offset_key, str(last.result().offset).encode())
        try:
            data._db_for_partition(self._partition).write(batch)
        except Exception as error:
            app.give_up(error)
            return
        reach("stitcher.changes_stored")
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
