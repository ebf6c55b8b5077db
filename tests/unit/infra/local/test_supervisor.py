"""The supervisor with small Python processes as parts: order, restart, back-off, and nothing left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.local.parts import Kind, Launch, Part
from infra.local.state import PartRecord, PartState, Phase, StackRecord, read_state
from infra.local.supervised import Patience
from infra.local.supervisor import Supervisor

WITHIN_S = 120.0
QUICK = Patience(first_backoff_s=0.05, longest_backoff_s=0.2, steady_s=60.0, probe_every_s=0.02)
SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_true():
        assert time.monotonic() < deadline, "not within the deadline"
        threading.Event().wait(0.01)


def python_part(name: str, folder: Path, code: str, **more: Any) -> Part:
    def launch() -> Launch:
        return Launch([sys.executable, "-c", code], folder, dict(os.environ))

    kind = more.pop("kind", Kind.PROCESS)
    return Part(name=name, kind=kind, launch=launch, **more)


def never_healthy() -> bool:
    """Without a probe a part is up as soon as it runs; one that is to fail may run for long on a busy machine."""
    return False


class Running:
    """A supervisor in a thread that stays until the end of the test."""

    def __init__(self, folder: Path, parts: list[Part]) -> None:
        self.state_file = folder / "state.json"
        self.supervisor = Supervisor(
            parts,
            state_file=self.state_file,
            logs_folder=folder / "logs",
            own_pid=os.getpid(),
            patience=QUICK,
        )
        self.started: bool | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.started = self.supervisor.run()

    def record(self) -> StackRecord | None:
        return read_state(self.state_file)

    def phase(self) -> Phase | None:
        record = self.record()
        return record.phase if record else None

    def part(self, name: str) -> PartRecord:
        record = self.record()
        assert record is not None
        return next(part for part in record.parts if part.name == name)

    def pid(self, name: str) -> int:
        pid = self.part(name).pid
        assert pid is not None
        return pid

    def join(self) -> None:
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()

    def stop(self) -> None:
        self.supervisor.stop()
        self.join()


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Running] = []

    def begin(*parts: Part) -> Running:
        running.append(Running(tmp_path, list(parts)))
        return running[-1]

    yield begin
    for item in running:
        item.stop()


def test_parts_start_after_what_they_wait_for(tmp_path: Path, start: Start) -> None:
    base_is_up = tmp_path / "base-is-up"
    step_code = f"import pathlib, sys; sys.exit(0 if pathlib.Path({str(base_is_up)!r}).exists() else 9)"

    def base_probe() -> bool:
        base_is_up.touch()
        return True

    running = start(
        python_part("top", tmp_path, SLEEPER, after=("step",)),
        python_part("step", tmp_path, step_code, kind=Kind.STEP, after=("base",)),
        python_part("base", tmp_path, SLEEPER, probe=base_probe),
    )
    wait_until(lambda: running.phase() is Phase.READY)
    assert running.part("step").state is PartState.STOPPED
    assert running.part("top").state is PartState.RUNNING
    assert running.part("top").restarts == 0


def test_a_part_that_dies_is_restarted_and_counted(tmp_path: Path, start: Start) -> None:
    running = start(python_part("worker", tmp_path, SLEEPER))
    wait_until(lambda: running.phase() is Phase.READY)
    for num_restarts in (1, 2, 3, 4):
        before = running.pid("worker")
        os.kill(before, signal.SIGKILL)

        def is_back(old_pid: int = before, wanted: int = num_restarts) -> bool:
            now = running.part("worker")
            return now.state is PartState.RUNNING and now.pid != old_pid and now.restarts == wanted

        wait_until(is_back)
    assert running.phase() is Phase.READY


def test_each_restart_waits_twice_as_long_up_to_the_limit(tmp_path: Path, start: Start) -> None:
    stamps, go = tmp_path / "stamps", tmp_path / "go"
    code = f"""
import pathlib, time
with open({str(stamps)!r}, "a") as file:
    print(time.monotonic(), file=file)
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.01)
"""
    running = start(python_part("flaky", tmp_path, code))
    wait_until(lambda: running.phase() is Phase.READY and stamps.exists())
    go.touch()
    wait_until(lambda: len(stamps.read_text().splitlines()) >= 6)
    running.stop()
    times = [float(line) for line in stamps.read_text().splitlines()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, least in zip(gaps, (0.05, 0.1, 0.2, 0.2, 0.2), strict=False):
        assert gap >= least


def test_a_part_that_cannot_start_fails_the_stack_with_its_last_words(tmp_path: Path, start: Start) -> None:
    running = start(
        python_part("good", tmp_path, SLEEPER),
        python_part("bad", tmp_path, "print('the reason'); raise SystemExit(7)", probe=never_healthy),
    )
    running.join()
    record = running.record()
    assert record is not None
    assert running.started is False
    assert record.phase is Phase.FAILED
    assert "bad ended with exit code 7" in record.failure
    assert "the reason" in record.failure
    assert all(part.pid is None for part in record.parts)


def test_a_step_that_fails_is_told_at_once(tmp_path: Path, start: Start) -> None:
    running = start(python_part("step", tmp_path, "raise SystemExit(3)", kind=Kind.STEP))
    running.join()
    record = running.record()
    assert record is not None
    assert "step ended with exit code 3" in record.failure


def test_a_known_failure_is_explained(tmp_path: Path, start: Start) -> None:
    code = "print('Could not reserve enough space'); raise SystemExit(1)"

    def explain(lines: str) -> str:
        return f"no heap ({len(lines) > 0})"

    running = start(python_part("jvm", tmp_path, code, explain=explain, probe=never_healthy))
    running.join()
    record = running.record()
    assert record is not None
    assert "no heap (True)" in record.failure


def test_stop_leaves_nothing_even_of_a_stubborn_part_with_children(tmp_path: Path, start: Start) -> None:
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print('ignoring', flush=True); time.sleep(600)"
    )
    log_file = tmp_path / "logs" / "stubborn.log"
    running = start(
        python_part(
            "stubborn",
            tmp_path,
            stubborn,
            stop_grace_s=0.3,
            probe=lambda: "ignoring" in log_file.read_text(),
        ),
        python_part("polite", tmp_path, SLEEPER),
    )
    wait_until(lambda: running.phase() is Phase.READY)
    processes = [psutil.Process(running.pid(name)) for name in ("stubborn", "polite")]
    processes += processes[0].children(recursive=True)
    assert len(processes) == 3
    running.stop()
    gone, alive = psutil.wait_procs(processes, timeout=WITHIN_S)
    assert alive == []
    assert len(gone) == 3
    assert running.phase() is Phase.STOPPED


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    script = f"""
import pathlib, sys
from infra.local.parts import Kind, Launch, Part
from infra.local.supervisor import Supervisor
folder = pathlib.Path({str(tmp_path)!r})
sleeper = lambda: Launch([sys.executable, "-c", "import time; time.sleep(600)"], folder, {{}})
parts = [Part(name=name, kind=Kind.PROCESS, launch=sleeper) for name in ("a", "b")]
supervisor = Supervisor(parts, state_file=folder / "state.json", logs_folder=folder / "logs", own_pid=1)
supervisor.listen_to_signals()
supervisor.run()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script])

    def is_ready() -> bool:
        record = read_state(tmp_path / "state.json")
        return record is not None and record.phase is Phase.READY

    wait_until(is_ready)
    record = read_state(tmp_path / "state.json")
    assert record is not None
    children = [psutil.Process(part.pid) for part in record.parts]
    supervisor.kill()
    supervisor.wait()
    _, alive = psutil.wait_procs(children, timeout=WITHIN_S)
    assert alive == []
