"""The folder of the local state: one process at a time, and only what this release has written.

Upstream: the process takes it at its start.
Downstream: ``local_state`` keeps its files inside.
Guarantee: what is found inside is a beginning of the changelog, however the last process ended (``local_files``). Files
of earlier releases may be ahead of it, or have left something out; they are deleted, and all is read back once.
"""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

_log = structlog.get_logger(__name__)

FORMAT_FILE: Final = "format"
FORMAT: Final = "3"
LOCK_FILE: Final = "lock"
DATA: Final = "data"


class FolderInUse(Exception):
    """Another process uses the folder; the text says which folder."""


class StateFolder:
    """The folder, locked while the process lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path / DATA
        self._format = path / FORMAT_FILE
        self._lock_fd: int | None = None

    def __enter__(self) -> Self:
        """Lock the folder; keep the data only if this format is that of the last owner.

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
        is_ours = self._format.exists() and self._format.read_text() == FORMAT
        if self.data.exists() and not is_ours:
            _log.warning("local_state_dropped", folder=str(self.data), reason="another release wrote it")
            shutil.rmtree(self.data)
        self.data.mkdir(exist_ok=True)
        self._format.write_text(FORMAT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
