"""`down` and `status` by the state file alone: after the supervisor's death, and when nothing ever ran."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local.artifacts import check_free_space
from infra.local.down import take_down
from infra.local.errors import StackError
from infra.local.java import explain_java_failure
from infra.local.layout import Layout
from infra.local.log_files import LogFollower, last_lines, rotate
from infra.local.process import created_at
from infra.local.progress import Progress
from infra.local.state import (
    PartRecord,
    PartState,
    Phase,
    StackRecord,
    living_supervisor,
    read_state,
    supervisor_lock,
    write_state,
)
from infra.local.status import look
from infra.runtime.settings import StackSettings

QUIET = Progress(quiet=True)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout.of(StackSettings(home=tmp_path, port_base=7000))
    layout.run.mkdir(parents=True)
    return layout


@pytest.fixture
def orphan() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = subprocess.Popen(command, process_group=0)
    yield process
    process.kill()
    process.wait()


def _record(process: subprocess.Popen[bytes], created_at_s: float, port: int = 0) -> StackRecord:
    part = PartRecord(
        name="worker", kind="process", state=PartState.RUNNING, pid=process.pid, created_at_s=created_at_s
    )
    ports = [port] if port else []
    return StackRecord(supervisor_pid=1, port_base=7000, ports=ports, phase=Phase.READY, parts=[part])


def test_down_ends_what_a_killed_supervisor_left(layout: Layout, orphan: subprocess.Popen[bytes]) -> None:
    write_state(layout.state_file, _record(orphan, created_at(orphan.pid)))
    assert take_down(layout, QUIET) is True
    assert orphan.wait(timeout=60) == -signal.SIGTERM
    record = read_state(layout.state_file)
    assert record is not None
    assert record.phase is Phase.STOPPED
    assert take_down(layout, QUIET) is False


def test_down_never_touches_a_later_process_with_the_same_pid(layout: Layout, orphan: subprocess.Popen[bytes]) -> None:
    write_state(layout.state_file, _record(orphan, created_at(orphan.pid) - 100))
    assert take_down(layout, QUIET) is False
    assert psutil.pid_exists(orphan.pid)
    assert orphan.poll() is None


def test_down_without_a_stack_says_so(layout: Layout) -> None:
    assert take_down(layout, QUIET) is False


def test_status_of_a_stack_that_does_not_run(layout: Layout) -> None:
    seen, is_running = look(layout)
    assert is_running is False
    assert seen.ready is False
    assert {item.state for item in seen.processes} == {PartState.STOPPED}
    assert seen.endpoints.kafka == "127.0.0.1:7003"
    assert set(seen.model_dump()) == {"ready", "endpoints", "processes"}
    assert set(seen.model_dump()["processes"][0]) == {"name", "pid", "rss_bytes", "restarts", "state"}


def test_status_sees_a_process_that_died_before_the_supervisor_does(
    layout: Layout, orphan: subprocess.Popen[bytes]
) -> None:
    write_state(layout.state_file, _record(orphan, created_at(orphan.pid)))
    with supervisor_lock(layout.lock_file) as mine:
        assert mine
        seen, is_running = look(layout)
        assert is_running
        assert seen.ready
        assert seen.processes[0].rss_bytes > 0
        orphan.kill()
        orphan.wait()
        seen, _ = look(layout)
        assert seen.ready is False
        assert seen.processes[0].state is PartState.BACKOFF


def test_one_home_has_one_supervisor(layout: Layout) -> None:
    assert living_supervisor(layout.lock_file) is None
    with supervisor_lock(layout.lock_file) as mine:
        assert mine
        assert living_supervisor(layout.lock_file) == os.getpid()
        with supervisor_lock(layout.lock_file) as second:
            assert not second
    assert living_supervisor(layout.lock_file) is None


def test_down_tells_when_somebody_else_holds_a_port(
    layout: Layout, orphan: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.down.PORTS_GRACE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write_state(layout.state_file, _record(orphan, created_at(orphan.pid), port))
        with pytest.raises(StackError, match=f"still listens on port {port}"):
            take_down(layout, QUIET)


def test_a_full_disk_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"GB free; .* are needed.*CLAWTRACE_HOME"):
        check_free_space(tmp_path / "not" / "yet", 10**18)


def test_a_jvm_without_memory_is_explained() -> None:
    assert "heap" in explain_java_failure("Error: Could not reserve enough space for 1048576KB object heap")
    assert explain_java_failure("java.lang.IllegalStateException") == ""


def test_logs_rotate_and_are_read_from_the_end(tmp_path: Path) -> None:
    log_file = tmp_path / "part.log"
    log_file.write_text("".join(f"line {number}\n" for number in range(50_000)))
    assert last_lines(log_file, 2) == ["line 49998", "line 49999"]
    follower = LogFollower([log_file])
    rotate(log_file, largest_bytes=1000)
    assert log_file.stat().st_size == 0
    assert last_lines(tmp_path / "part.log.1", 1) == ["line 49999"]
    log_file.write_text("new\nhalf")
    assert follower.new_lines() == [("part", "new")]
