"""What the supervisor knows, in a file: for `up`, `down` and `status`, also after its death.

Upstream: supervisor.py writes it at each change.
Downstream: up.py, down.py and status.py read it.
Guarantee: a reader sees a whole state, the old or the new one (atomic rename).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ValidationError

LOCK_WAIT_S = 1.0


class PartState(StrEnum):
    """How a part is; the words of `status`."""

    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPED = "stopped"
    FAILED = "failed"


class Phase(StrEnum):
    """How the whole stack is."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class PartRecord(BaseModel):
    """One part in the state file; a step that is done is ``stopped``."""

    name: str
    kind: str
    state: PartState
    pid: int | None = None
    created_at_s: float = 0.0
    restarts: int = 0
    stop_signal: int = 15


class StackRecord(BaseModel):
    """The state file."""

    supervisor_pid: int
    port_base: int
    ports: list[int] = []
    phase: Phase
    failure: str = ""
    parts: list[PartRecord] = []


def write_state(path: Path, record: StackRecord) -> None:
    """Replace the state file."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(record.model_dump_json(indent=1))
    draft.replace(path)


def read_state(path: Path) -> StackRecord | None:
    """The last state, or None when there never was one (or an older version wrote it)."""
    try:
        return StackRecord.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None


@contextmanager
def supervisor_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a home while the block runs; yields False when another supervisor has it.

    The kernel lets go of it when its holder dies, so it can never be stale.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock_soon(descriptor):
            yield False
            return
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield True
    finally:
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    """Take the lock; a reader that only looks (living_supervisor) holds it for a moment."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def living_supervisor(path: Path) -> int | None:
    """Pid of the supervisor that holds the lock, or None."""
    if not path.exists():
        return None
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).decode().strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)
