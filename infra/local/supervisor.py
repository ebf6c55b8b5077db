"""Keeps the parts of a stack alive: starts them in order, restarts what dies, stops all in reverse.

Upstream: a list of parts (topology.py); SIGTERM from `down`.
Downstream: the state file, the logs, the processes.
Guarantee: one supervisor per home (lock); before it ends, every process it started has ended; if it is
killed, the kernel ends them (Linux), or the next `up` or `down` does by the state file.
"""

import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.local.log_files import rotate
from infra.local.parts import Kind, Part, stop_waves
from infra.local.state import PartState, Phase, StackRecord, write_state
from infra.local.supervised import Patience, Supervised

NUM_WORKERS = 6
BUSY_TICK_S = 0.05
# A process that dies wakes the loop at once (SIGCHLD); the slow tick only serves back-off and rotation.
CALM_TICK_S = 1.0
ROTATE_EVERY_S = 5.0


class Supervisor:
    """Runs one list of parts until it is told to stop or the start fails."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        state_file: Path,
        logs_folder: Path,
        own_pid: int,
        port_base: int = 0,
        patience: Patience | None = None,
    ) -> None:
        self._parts = list(parts)
        self._state_file = state_file
        self._logs_folder = logs_folder
        patience = patience or Patience()
        self._supervised = {part.name: Supervised(part, self._log_file, patience) for part in parts}
        self._record = StackRecord(
            supervisor_pid=own_pid,
            port_base=port_base,
            ports=[port for part in parts for port in part.ports],
            phase=Phase.STARTING,
        )
        self._written = ""
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._rotate_at_s = 0.0

    def stop(self) -> None:
        """Ask the loop to end; safe in a signal handler and in another thread."""
        self._stop.set()
        self._wake.set()

    def listen_to_signals(self) -> None:
        """End on SIGTERM and SIGINT, wake up when a child dies; main thread only."""
        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        signal.signal(signal.SIGINT, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: self._wake.set())

    def run(self) -> bool:
        """Run until told to stop; False when the stack could not be started."""
        self._logs_folder.mkdir(parents=True, exist_ok=True)
        self._save()
        with ThreadPoolExecutor(NUM_WORKERS, thread_name_prefix="stack") as workers:
            try:
                while not self._stop.is_set() and not self._record.failure:
                    self._tick(workers)
            finally:
                self._stop_all()
        return not self._record.failure

    def _tick(self, workers: ThreadPoolExecutor) -> None:
        for supervised in self._supervised.values():
            supervised.advance(self._may_start(supervised.part), workers)
        self._note_phase()
        self._save()
        if time.monotonic() >= self._rotate_at_s:
            self._rotate_at_s = time.monotonic() + ROTATE_EVERY_S
            for part in self._parts:
                rotate(self._log_file(part.name))
        calm = all(item.is_up for item in self._supervised.values())
        self._wake.wait(CALM_TICK_S if calm else BUSY_TICK_S)
        self._wake.clear()

    def _may_start(self, part: Part) -> bool:
        """Whether all it waits for was up; a later restart waits for nobody, its client retries."""
        return all(self._supervised[need].was_up for need in part.after if need in self._supervised)

    def _note_phase(self) -> None:
        everyone = self._supervised.values()
        failed = [item for item in everyone if item.state is PartState.FAILED]
        if failed:
            self._record.failure = failed[0].failure
        elif self._record.phase is Phase.STARTING and all(item.is_up for item in everyone):
            self._record.phase = Phase.READY

    def _stop_all(self) -> None:
        failed = bool(self._record.failure)
        self._record.phase = Phase.STOPPING
        steps = [item for item in self._supervised.values() if item.part.kind is Kind.STEP]
        waves = [steps] + [[self._supervised[part.name] for part in wave] for wave in stop_waves(self._parts)]
        for wave in waves:
            for item in wave:
                item.ask_to_stop()
            self._save()
            asked_at_s = time.monotonic()
            for item in wave:
                item.finish_stop(asked_at_s + item.part.stop_grace_s)
        self._record.phase = Phase.FAILED if failed else Phase.STOPPED
        self._save()

    def _log_file(self, name: str) -> Path:
        return self._logs_folder / f"{name}.log"

    def _save(self) -> None:
        """Write the state when it changed."""
        self._record.parts = [item.record() for item in self._supervised.values()]
        text = self._record.model_dump_json()
        if text != self._written:
            write_state(self._state_file, self._record)
            self._written = text
