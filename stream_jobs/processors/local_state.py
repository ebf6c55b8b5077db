"""The state of all partitions of one process: restored at each assignment, then written through the changelog.

Upstream: Faust's consumer says which partitions are assigned (``faust_fixes``).
Downstream: ``app`` opens a partition's store for the stitcher, which waits here until it is restored.
Guarantee: whoever gets a store reads all that the changelog held when the partition was assigned, and whatever this
process itself had sent. A write comes into the files when the changelog has acknowledged it, and only if nothing is
missing between it and what is in the files: if somebody else wrote meanwhile, this process ends.

Faust's own restore is not used (``infra/decisions/0010``). It counts a record as read when it lies in a buffer, decides
by those counts whether it is done, and goes on after some errors as if it were.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

from infra.runtime.fail_points import reach
from stream_jobs import metrics
from stream_jobs.processors.changelog import ChangelogReader
from stream_jobs.processors.journal import Change
from stream_jobs.processors.local_files import LocalFiles
from stream_jobs.processors.state import PartitionStore

FOLDER_PREFIX: Final = "state-"


class ForeignWrite(Exception):
    """Somebody else has written into the changelog of a partition that this process holds."""


class Changelog(Protocol):
    """The way to the changelog, and out of the process."""

    @property
    def has_failed(self) -> bool:
        """Whether a record could not be delivered; from then on nothing may come into the files."""
        ...

    async def send_changes(self, partition: int, changes: Sequence[Change], /) -> "asyncio.Future[Any]":
        """Send in order; the result is done when the last is acknowledged, and knows its offset.

        Calls for one partition must not overlap.
        """
        ...

    async def flushed(self) -> None:
        """Return when all that was sent is acknowledged.

        Raises:
            Exception: some of it could not be delivered.
        """
        ...

    def open_reader(self, is_wanted: Callable[[], bool], /) -> ChangelogReader:
        """Connect to read it back."""
        ...

    def give_up(self, error: BaseException, /) -> None:
        """End the process: a restart from the commit is the only way on."""
        ...


class ChangelogStore:
    """One partition in one assignment: read from the files, written through the changelog."""

    def __init__(
        self, partition: int, files: LocalFiles, changelog: Changelog, is_ours: Callable[[], bool] = lambda: True
    ) -> None:
        self._partition, self._files, self._changelog, self._is_ours = partition, files, changelog, is_ours
        self._sending = asyncio.Lock()

    def get(self, key: bytes, /) -> bytes | None:
        """Read from the files."""
        return self._files.get(key)

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Read a range of the files."""
        return self._files.scan(prefix)

    async def write(self, changes: Sequence[Change], stored: Callable[[], None], /) -> None:
        """Send to the changelog; what it has acknowledged is written to the files."""
        # One after another, so that the changes of one write lie side by side.
        async with self._sending:
            if not self._is_ours():
                return  # whoever has the partition now reads the record again
            last = await self._changelog.send_changes(self._partition, changes)
        reach("stitcher.changes_sent")
        last.add_done_callback(lambda sent: self._on_acknowledged(sent, changes, stored))
        metrics.STATE_WRITES.inc(len(changes))

    def _on_acknowledged(
        self, last: "asyncio.Future[Any]", changes: Sequence[Change], stored: Callable[[], None]
    ) -> None:
        # After a failure nothing more may come into the files: they would have a hole.
        if last.cancelled() or last.exception() is not None or self._changelog.has_failed:
            return
        next_offset = int(last.result().offset) + 1
        try:
            if next_offset - len(changes) != self._files.next_offset:
                raise ForeignWrite(
                    f"state of partition {self._partition}: {len(changes)} changes end at {next_offset}, but the files "
                    f"hold the changelog up to {self._files.next_offset}; another stitcher wrote in between"
                )
            self._files.apply(changes, next_offset)
        except Exception as error:
            self._changelog.give_up(error)
            return
        reach("stitcher.changes_stored")
        stored()


class _Assignment:
    """What one assignment needs restored."""

    def __init__(self, partitions: Sequence[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self.restored: dict[int, asyncio.Future[ChangelogStore | None]] = {
            partition: self._loop.create_future() for partition in partitions
        }
        self._is_over = threading.Event()

    @property
    def is_wanted(self) -> bool:
        return not self._is_over.is_set()

    def end(self) -> None:
        """Whoever waits for a store gets none."""
        self._is_over.set()
        for future in self.restored.values():
            if not future.done():
                future.set_result(None)

    def have(self, partition: int, store: ChangelogStore) -> None:
        """Called by the thread that restores."""

        def hand_over() -> None:
            if not self.restored[partition].done():
                self.restored[partition].set_result(store)

        self._loop.call_soon_threadsafe(hand_over)


class LocalState:
    """The partitions' files in one folder, and what the present assignment has of them."""

    def __init__(self, folder: Path, changelog: Changelog) -> None:
        self._folder, self._changelog = folder, changelog
        # Open until the process ends: work of an older assignment may still read while it finds out that it is over.
        self._files: dict[int, LocalFiles] = {}
        self._assignment: _Assignment | None = None
        self._restoring: asyncio.Task[None] | None = None
        self._is_closed = False
        # Records restored since the start; moves while the process is at work.
        self.num_restored = 0

    @property
    def is_restored(self) -> bool:
        """Whether every partition of the present assignment can be worked on."""
        now = self._assignment
        return now is not None and now.is_wanted and all(future.done() for future in now.restored.values())

    def release(self) -> None:
        """The partitions are being taken away: nobody gets a store any more."""
        if self._assignment is not None:
            self._assignment.end()

    def close(self) -> None:
        """The process ends: nothing is restored any more."""
        self._is_closed = True
        self.release()

    def assign(self, partitions: Sequence[int]) -> None:
        """Begin to restore these, and no others."""
        self.release()
        if self._is_closed:
            return
        self._assignment = _Assignment(partitions)
        self._restoring = asyncio.create_task(self._restore(self._assignment, self._restoring), name="restore-state")

    async def store(self, partition: int) -> PartitionStore | None:
        """Wait for a partition to be restored; None when it is not, or no longer, assigned."""
        assignment = self._assignment
        if assignment is None or partition not in assignment.restored:
            return None
        store = await asyncio.shield(assignment.restored[partition])
        return store if assignment.is_wanted else None

    async def _restore(self, assignment: _Assignment, before: "asyncio.Task[None] | None") -> None:
        try:
            if before is not None:
                await before
            # What this process itself has sent belongs to what is to be read.
            await self._changelog.flushed()
            await asyncio.to_thread(self._read_back, assignment)
        except Exception as error:
            self._changelog.give_up(error)

    def _read_back(self, assignment: _Assignment) -> None:
        """Runs in a thread of its own."""
        partitions = list(assignment.restored)
        with closing(self._changelog.open_reader(lambda: assignment.is_wanted)) as reader:
            bounds = reader.bounds(partitions)
            if not bounds:
                return
            ends = {partition: end for partition, (_, end) in bounds.items()}
            starts = {partition: self._start_of(partition, *bounds[partition]) for partition in partitions}
            self._apply(assignment, reader, starts, ends)

    def _start_of(self, partition: int, low: int, end: int) -> int:
        files = self._files.get(partition)
        if files is None:
            files = self._files[partition] = LocalFiles(self._folder / f"{FOLDER_PREFIX}{partition}")
        elif files.is_outdated:
            files.clear("nobody has written to it for hours")
        if files.next_offset and not low <= files.next_offset <= end:
            files.clear(f"it ends at offset {files.next_offset}, the changelog goes from {low} to {end}")
        if files.next_offset < low:
            files.apply([], low)
        return files.next_offset

    def _apply(
        self, assignment: _Assignment, reader: ChangelogReader, starts: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        def hand_over(partition: int) -> None:
            store = ChangelogStore(partition, self._files[partition], self._changelog, lambda: assignment.is_wanted)
            assignment.have(partition, store)

        for partition, start in starts.items():
            if start >= ends[partition]:
                hand_over(partition)
        for piece in reader.read(starts, ends):
            self._files[piece.partition].apply(piece.changes, piece.next_offset)
            self.num_restored += len(piece.changes)
            metrics.RESTORED.inc(len(piece.changes))
            if piece.next_offset >= ends[piece.partition]:
                hand_over(piece.partition)
