"""Stops a stack and makes sure that nothing of it is left.

Upstream: lock and state file of the supervisor.
Downstream: the command line; up.py uses it to clear what a killed supervisor left.
Guarantee: when it returns, no process of the state file is alive and none of its ports is open.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence

from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.local.ports import is_free
from infra.local.process import is_same_process, signal_group
from infra.local.progress import Progress
from infra.local.state import PartState, Phase, StackRecord, living_supervisor, read_state, write_state

# The longest grace of a part, times the waves, plus some.
SUPERVISOR_GRACE_S = 75.0
LEFTOVER_GRACE_S = 5.0
PORTS_GRACE_S = 5.0
LOOK_EVERY_S = 0.05


def take_down(layout: Layout, progress: Progress) -> bool:
    """Stop everything; False when nothing was running."""
    supervisor_pid = living_supervisor(layout.lock_file)
    if supervisor_pid is not None:
        progress.say("stopping the stack")
        _stop_supervisor(layout, supervisor_pid)
    num_leftovers = clear_leftovers(layout)
    if num_leftovers:
        progress.say(f"ended {num_leftovers} processes that a killed supervisor had left")
    record = read_state(layout.state_file)
    was_running = supervisor_pid is not None or num_leftovers > 0
    if was_running and record is not None:
        _expect_closed_ports(record.ports)
    return was_running


def clear_leftovers(layout: Layout) -> int:
    """End processes of the state file that outlived their supervisor; returns how many there were."""
    record = read_state(layout.state_file)
    if record is None or living_supervisor(layout.lock_file) is not None:
        return 0
    alive = [part for part in record.parts if part.pid and is_same_process(part.pid, part.created_at_s)]
    for part in alive:
        if part.pid:
            os.kill(part.pid, part.stop_signal)
    gone = [_is_gone(part.pid, part.created_at_s) for part in alive if part.pid]
    _wait_until(lambda: all(check() for check in gone), LEFTOVER_GRACE_S)
    for part in alive:
        if part.pid:
            signal_group(part.pid, signal.SIGKILL)
    _wait_until(lambda: all(check() for check in gone), LEFTOVER_GRACE_S)
    _mark_stopped(layout, record)
    return len(alive)


def _is_gone(pid: int, created_at_s: float) -> Callable[[], bool]:
    return lambda: not is_same_process(pid, created_at_s)


def _stop_supervisor(layout: Layout, pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    if _wait_until(lambda: living_supervisor(layout.lock_file) is None, SUPERVISOR_GRACE_S):
        return
    os.kill(pid, signal.SIGKILL)
    _wait_until(lambda: living_supervisor(layout.lock_file) is None, LEFTOVER_GRACE_S)


def _mark_stopped(layout: Layout, record: StackRecord) -> None:
    if record.phase in (Phase.STOPPED, Phase.FAILED):
        return
    record.phase = Phase.STOPPED
    for part in record.parts:
        part.state = PartState.STOPPED
        part.pid = None
    write_state(layout.state_file, record)


def _expect_closed_ports(ports: Sequence[int]) -> None:
    if not _wait_until(lambda: all(is_free(port) for port in ports), PORTS_GRACE_S):
        still_open = ", ".join(str(port) for port in ports if not is_free(port))
        raise StackError(
            f"The stack has stopped, but something still listens on port {still_open}. It was not started "
            "by this stack."
        )


def _wait_until(is_true: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
