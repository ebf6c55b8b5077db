"""One supervised part: its process, its state, its restarts.

Upstream: supervisor.py calls `advance` again and again from one thread.
Downstream: process.py starts the process.
Guarantee: every start after an unexpected end is counted, and waits twice as long as the one before.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import StackError
from infra.local.log_files import last_lines
from infra.local.parts import Kind, Part
from infra.local.process import created_at, signal_group, start_child
from infra.local.state import PartRecord, PartState

FAILURE_LINES = 15


@dataclass(frozen=True)
class Patience:
    """How long to wait for what; tests are less patient."""

    first_backoff_s: float = 1.0
    longest_backoff_s: float = 30.0
    # A part that ran this long starts its back-off anew.
    steady_s: float = 60.0
    probe_every_s: float = 0.25
    # Ends before the first health answer that mean "it cannot start", not "it was unlucky".
    starts_before_failure: int = 3


class Supervised:
    """State machine of one part."""

    def __init__(self, part: Part, log_file_of: Callable[[str], Path], patience: Patience) -> None:
        self.part = part
        self.state = PartState.STARTING
        self.failure = ""
        self.restarts = 0
        self.was_up = False
        self._log_file_of = log_file_of
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._created_at_s = 0.0
        self._preparing: Future[None] | None = None
        self._probing: Future[bool] | None = None
        self._num_ends = 0
        self._started_at_s = 0.0
        self._next_at_s = 0.0

    @property
    def is_up(self) -> bool:
        """Whether those that wait for it may start."""
        if self.part.kind is Kind.STEP:
            return self.was_up
        return self.state is PartState.RUNNING

    @property
    def pid(self) -> int | None:
        """Pid while it runs."""
        return self._process.pid if self._process else None

    def record(self) -> PartRecord:
        """Line of the state file."""
        return PartRecord(
            name=self.part.name,
            kind=self.part.kind,
            state=self.state,
            pid=self.pid,
            created_at_s=self._created_at_s,
            restarts=self.restarts,
            stop_signal=int(self.part.stop_signal),
        )

    def advance(self, may_start: bool, workers: Executor) -> None:
        """Do the next thing that is due; never blocks."""
        if self.state is PartState.FAILED or (self.part.kind is Kind.STEP and self.was_up):
            return
        if self._process is not None:
            self._watch(workers)
        elif may_start and time.monotonic() >= self._next_at_s and self._is_prepared(workers):
            self._start()

    def _is_prepared(self, workers: Executor) -> bool:
        if self.part.prepare is None:
            return True
        if self._preparing is None:
            self._preparing = workers.submit(self.part.prepare)
        if not self._preparing.done():
            return False
        error = self._preparing.exception()
        if error is None:
            return True
        text = str(error) if isinstance(error, StackError) else f"{type(error).__name__}: {error}"
        self._fail(text)
        return False

    def _start(self) -> None:
        try:
            launch = self.part.launch()
            self._process = start_child(
                launch.command,
                self._log_file_of(self.part.name),
                folder=launch.folder,
                environment=launch.environment,
                user=launch.user,
            )
        except (OSError, StackError) as error:
            self._could_not(f"{self.part.name} could not be started: {error}")
            return
        self._created_at_s = created_at(self._process.pid)
        self._started_at_s = time.monotonic()
        self._probing = None
        self._next_at_s = 0.0
        self.state = PartState.STARTING

    def _watch(self, workers: Executor) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            self._ended(code)
        elif self.state is PartState.STARTING and self.part.kind is Kind.PROCESS:
            self._look_for_health(workers)

    def _look_for_health(self, workers: Executor) -> None:
        if self._probing is None:
            if time.monotonic() >= self._next_at_s:
                probe = self.part.probe or (lambda: True)
                self._probing = workers.submit(probe)
        elif self._probing.done():
            healthy = self._probing.exception() is None and self._probing.result()
            self._probing = None
            self._next_at_s = time.monotonic() + self._patience.probe_every_s
            if healthy:
                self.state = PartState.RUNNING
                self.was_up = True
                return
        waited_s = time.monotonic() - self._started_at_s
        if waited_s > self.part.start_timeout_s:
            if self.was_up and self._process is not None:
                # It hangs after a restart: end it, so that it gets another one.
                signal_group(self._process.pid, signal.SIGKILL)
                return
            self._fail(self._last_words(f"{self.part.name} gave no healthy answer within {waited_s:.0f} s"))

    def _ended(self, code: int) -> None:
        assert self._process is not None
        # Whatever it started itself must not outlive it.
        signal_group(self._process.pid, signal.SIGKILL)
        self._process = None
        if self.part.kind is Kind.STEP:
            if code == 0:
                self.was_up = True
                self.state = PartState.STOPPED
            else:
                self._fail(self._last_words(f"the step {self.part.name} ended with {_words_for(code)}"))
            return
        if time.monotonic() - self._started_at_s > self._patience.steady_s:
            self._num_ends = 0
        self._could_not(f"{self.part.name} ended with {_words_for(code)} at start")

    def _could_not(self, what: str) -> None:
        """Plan the next start, or give up on a part that never was up."""
        self._num_ends += 1
        if not self.was_up and self._num_ends >= self._patience.starts_before_failure:
            self._fail(self._last_words(what))
            return
        wait_s = self._patience.first_backoff_s * 2 ** min(self._num_ends - 1, 16)
        self._next_at_s = time.monotonic() + min(wait_s, self._patience.longest_backoff_s)
        self.restarts += 1
        self.state = PartState.BACKOFF

    def _fail(self, text: str) -> None:
        self.failure = text
        self.state = PartState.FAILED

    def _last_words(self, what: str) -> str:
        log_file = self._log_file_of(self.part.name)
        lines = "\n".join(last_lines(log_file, FAILURE_LINES))
        explanation = self.part.explain(lines)
        sentence = f"{what}: {explanation}" if explanation else f"{what}."
        return f"{sentence}\nLast lines of {log_file}:\n{lines}" if lines else f"{sentence} Its log is empty."

    def ask_to_stop(self) -> None:
        """Send the part's own stop signal, to the part alone: it knows how to end its children."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(self.part.stop_signal)

    def finish_stop(self, deadline_s: float) -> None:
        """Wait until the deadline, then kill the part and all that it started."""
        if self._process is not None:
            try:
                self._process.wait(timeout=max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(self._process.pid, signal.SIGKILL)
                self._process.wait()
            signal_group(self._process.pid, signal.SIGKILL)
            self._process = None
        if self.state is not PartState.FAILED:
            self.state = PartState.STOPPED


def _words_for(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
