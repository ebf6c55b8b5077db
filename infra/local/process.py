"""Start and stop of one child process: own group, own log, dies with its parent.

Upstream: supervisor.py decides when.
Downstream: the operating system.
Guarantee: on Linux a child is killed by the kernel when the supervisor dies, however that died.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1
# Resolved in the parent: between fork and exec only async-signal-safe work is wise.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def clean_environment(without: Iterable[str] = (), extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without some variables, plus some."""
    environment = {name: value for name, value in os.environ.items() if name not in set(without)}
    environment.update(extra or {})
    return environment


def start_child(
    command: list[str],
    log_file: Path,
    *,
    folder: Path,
    environment: Mapping[str, str],
    user: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process whose output goes to its log; ``user`` is (uid, gid) when it may not be ours."""
    with log_file.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            process_group=0,
            preexec_fn=_before_exec(os.getpid(), user),
        )


def _before_exec(parent_pid: int, user: tuple[int, int] | None) -> Callable[[], None]:
    def run() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        # After setuid: a change of user clears the death signal. SIGKILL, because a child that waits for
        # a dead broker in its SIGTERM handler would stay; every part survives kill -9 without loss.
        if _LIBC is not None:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent_pid:
                os._exit(1)

    return run


def created_at(pid: int) -> float:
    """Start time of a process, which tells it from a later one with the same pid; 0.0 when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def is_same_process(pid: int, created: float) -> bool:
    """Whether the pid still is the process that was recorded, and not a zombie."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def memory_bytes(pid: int) -> int:
    """Resident memory of a process and its children; shared pages of Postgres are counted once."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        shared_once = process.memory_info()
        total = shared_once.rss
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                memory = child.memory_info()
                total += memory.rss - getattr(memory, "shared", 0)
    return total


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and everything in its group; a process that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
