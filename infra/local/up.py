"""Brings the stack up: checks, downloads, starts the supervisor, waits until every part is healthy.

Upstream: the command line.
Downstream: supervise.py in a process of its own; status.py for "is it up already".
Guarantee: returns only when every part answered its health check; otherwise says in plain words which one
did not, and leaves nothing running.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from infra.local.artifacts import ensure_artifacts
from infra.local.credentials import ensure_credentials
from infra.local.down import clear_leftovers
from infra.local.errors import StackError
from infra.local.layout import CHECKOUT_FOLDER, Layout
from infra.local.log_files import last_lines
from infra.local.parts import Kind, Part, select_parts
from infra.local.ports import refuse_taken_ports
from infra.local.progress import Progress
from infra.local.scrape_targets import write_scrape_targets
from infra.local.state import PartState, Phase, StackRecord, living_supervisor, read_state
from infra.local.topology import SERVICES, build_topology

LOOK_EVERY_S = 0.1
# The supervisor gives up on a part by itself long before; this is for a supervisor that hangs.
LONGEST_WAIT_S = 600.0
SUPERVISOR_START_S = 20.0
JAVA_PARTS = ("kafka", "trino")


def bring_up(layout: Layout, names: Sequence[str], progress: Progress) -> bool:
    """Start the stack, or the parts of these names; False when it was up already.

    Raises:
        StackError: what is in the way, in plain words.
    """
    parts = select_parts(build_topology(layout), names)
    if living_supervisor(layout.lock_file) is None:
        _make_ready(layout, parts, progress)
        supervisor = _start_supervisor(layout, [part.name for part in parts] if names else [])
        _wait_until_ready(layout, progress, supervisor)
        return True
    record = _own_record(layout)
    _refuse_difference(layout, parts, record, bool(names))
    if record.phase is Phase.READY:
        return False
    progress.say("the stack is starting already; waiting for it")
    _wait_until_ready(layout, progress, None)
    return True


def _make_ready(layout: Layout, parts: Sequence[Part], progress: Progress) -> None:
    """Everything that can be refused before a process is started."""
    # The step that writes Trino's rules runs before Trino's own preparation.
    for folder in (layout.home, layout.logs, layout.run, layout.rules_file.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"The folder {folder} cannot be made: {error.strerror}. Choose another with CLAWTRACE_HOME."
            ) from error
    clear_leftovers(layout)
    write_scrape_targets(layout)
    refuse_taken_ports(parts, layout.settings.port_base)
    if any(part.name.partition("-")[0] in JAVA_PARTS for part in parts):
        ensure_artifacts(layout, progress)
    if any(part.name in SERVICES for part in parts):
        ensure_credentials(layout)


def _start_supervisor(layout: Layout, names: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start it detached: it lives on when this command and its terminal are gone."""
    layout.state_file.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CLAWTRACE_HOME": str(layout.home),
        "CLAWTRACE_PORT_BASE": str(layout.settings.port_base),
    }
    with layout.log_file("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local.supervise", *names],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=CHECKOUT_FOLDER,
            env=environment,
            start_new_session=True,
        )


def _own_record(layout: Layout) -> StackRecord:
    record = read_state(layout.state_file)
    if record is None:
        raise StackError(f"A supervisor runs {layout.home}, but its state is missing. Run `clawtrace down`.")
    return record


def _refuse_difference(layout: Layout, parts: Sequence[Part], record: StackRecord, chosen: bool) -> None:
    """A stack that runs with other ports or fewer parts is not the one that was asked for."""
    if record.port_base != layout.settings.port_base:
        raise StackError(
            f"The stack in {layout.home} runs already, with CLAWTRACE_PORT_BASE={record.port_base}. Use that "
            "value, or stop it first with `clawtrace down`."
        )
    running = {part.name for part in record.parts}
    missing = [part.name for part in parts if part.name not in running]
    if missing:
        what = ", ".join(missing) if chosen else "the whole stack"
        raise StackError(
            f"The stack in {layout.home} runs with {', '.join(sorted(running))} only. To have {what}, stop "
            "it with `clawtrace down` and start it again."
        )


def _wait_until_ready(layout: Layout, progress: Progress, supervisor: subprocess.Popen[bytes] | None) -> None:
    """Follow the state file to the end of the start, saying what changes."""
    told: dict[str, tuple[PartState, int]] = {}
    started_at_s = time.monotonic()
    while time.monotonic() - started_at_s < LONGEST_WAIT_S:
        record = read_state(layout.state_file)
        if record is not None:
            if record.phase in (Phase.STARTING, Phase.READY):
                _tell_changes(record, told, progress)
            if record.phase is Phase.READY:
                return
            if record.phase is Phase.FAILED:
                raise StackError(f"The stack could not be started: {record.failure}")
            if record.phase is Phase.STOPPED:
                raise StackError("The stack was stopped while it was starting.")
        if supervisor is not None and supervisor.poll() is not None:
            _explain_dead_supervisor(layout)
        time.sleep(LOOK_EVERY_S)
    raise StackError("The stack did not become ready in ten minutes. `clawtrace logs` shows why.")


def _explain_dead_supervisor(layout: Layout) -> None:
    """The supervisor ended: its last state says why, unless it never wrote one."""
    record = read_state(layout.state_file)
    if record is not None and record.phase in (Phase.FAILED, Phase.STOPPED, Phase.READY):
        return
    lines = "\n".join(last_lines(layout.log_file("supervisor"), 15))
    raise StackError(f"The supervisor ended unexpectedly. Last lines of its log:\n{lines}")


def _tell_changes(record: StackRecord, told: dict[str, tuple[PartState, int]], progress: Progress) -> None:
    for part in record.parts:
        now = (part.state, part.restarts)
        if told.get(part.name) == now:
            continue
        told[part.name] = now
        if part.kind == Kind.STEP and part.state is PartState.STOPPED:
            progress.say(f"{part.name}: done")
        elif part.state is PartState.RUNNING:
            progress.say(f"{part.name}: up")
        elif part.state is PartState.BACKOFF:
            progress.say(f"{part.name}: ended, will be started again (restart {part.restarts})")
