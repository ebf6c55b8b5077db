"""The folder of the local state: one process at a time, and thrown away unless it was closed cleanly.

Upstream: the process takes it at its start.
Downstream: Faust keeps its RocksDB files inside.
Guarantee: what is found inside was closed after everything in it had been acknowledged by the changelog. After
``kill -9`` the local files may be ahead of the changelog, and state that never reached the changelog must not exist:
its outputs would be skipped on one machine and repeated on another.
"""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

_log = structlog.get_logger(__name__)

CLEAN_MARKER: Final = "closed-cleanly"
LOCK_FILE: Final = "lock"
DATA: Final = "data"


class FolderInUse(Exception):
    """Another process uses the folder; the text says which folder."""


class StateFolder:
    """The folder, locked while the process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / DATA
        self._marker = path / CLEAN_MARKER
        self._lock_fd: int | None = None

    def __enter__(self) -> Self:
        """Lock the folder; keep the data only if the last owner closed it cleanly.

        Raises:
            FolderInUse: another process holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock_fd)
            raise FolderInUse(f"{self.path} is in use by another stitcher; give each its own CLAWTRACE_HOME") from error
        self._lock_fd = lock_fd
        if self._marker.exists():
            # Gone before anything is opened: from now on only a clean close brings it back.
            self._marker.unlink()
        elif self.data.exists():
            _log.warning("local_state_dropped", folder=str(self.data), reason="the last process did not close it")
            shutil.rmtree(self.data)
        self.data.mkdir(exist_ok=True)
        return self

    def mark_clean(self) -> None:
        """Say that all local state is in the changelog and all files are closed."""
        self._marker.touch()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
