"""Health server and logs of a process."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine

from infra.runtime.database import missing_from_database
from infra.runtime.metrics import HealthServer, describe_process, note_dependency, serve_health
from tests.captures import ROOT
from tests.ports import free_port

missing: list[str] = []


def readiness() -> list[str]:
    if "crash" in missing:
        raise RuntimeError("no")
    return list(missing)


@pytest.fixture
def server() -> Iterator[HealthServer]:
    missing.clear()
    server = serve_health(0, readiness)
    yield server
    server.close()


def get(server: HealthServer, path: str) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{server.port}{path}", trust_env=False, timeout=60)


def test_health_readiness_and_metrics(server: HealthServer) -> None:
    assert get(server, "/healthz").status_code == 200
    assert get(server, "/readyz").json() == {"ready": True, "missing": []}
    missing.append("Kafka: no answer")
    answer = get(server, "/readyz?verbose=1")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": ["Kafka: no answer"]})
    assert "clawtrace_runtime_key_lookups_total" in get(server, "/metrics").text
    assert get(server, "/other").status_code == 404


def value_of(server: HealthServer, sample: str) -> float:
    """Value of one sample as a scrape gives it."""
    lines = dict(line.rsplit(" ", 1) for line in get(server, "/metrics").text.splitlines() if line[0] != "#")
    return float(lines[sample])


def test_a_scrape_says_what_is_missing_at_that_time(server: HealthServer) -> None:
    assert value_of(server, "clawtrace_runtime_missing_conditions") == 0
    missing[:] = ["Kafka: no answer", "Postgres: no answer"]
    assert value_of(server, "clawtrace_runtime_missing_conditions") == 2
    missing[:] = ["crash"]
    assert value_of(server, "clawtrace_runtime_missing_conditions") == 1


def test_a_scrape_says_who_it_is_and_how_full_the_disk_is(server: HealthServer, tmp_path: Path) -> None:
    describe_process("tester", tmp_path / "not" / "made" / "yet")
    name = f'clawtrace_runtime_build_info{{process="tester",version="{version("clawtrace")}"}}'
    assert value_of(server, name) == 1
    size_bytes = value_of(server, "clawtrace_runtime_disk_size_bytes")
    assert size_bytes == shutil.disk_usage(tmp_path).total
    assert 0 < value_of(server, "clawtrace_runtime_disk_free_bytes") <= size_bytes


def test_a_database_that_does_not_answer_shows_as_a_dependency(server: HealthServer) -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 1})
    assert missing_from_database(away)
    sample = 'clawtrace_runtime_dependency_up{dependency="postgres"}'
    assert value_of(server, sample) == 0
    note_dependency("postgres", is_up=True)
    assert value_of(server, sample) == 1


def test_a_check_that_crashes_means_not_ready(server: HealthServer) -> None:
    missing.append("crash")
    answer = get(server, "/readyz")
    assert answer.status_code == 503
    assert "RuntimeError" in answer.json()["missing"][0]


def test_the_port_is_free_after_close() -> None:
    port = free_port()
    for _ in range(2):
        serve_health(port, readiness).close()


def logged(level: str) -> list[dict[str, Any]]:
    program = (
        "import logging, structlog\n"
        "from infra.runtime.logging import configure_logging\n"
        "configure_logging('test')\n"
        "structlog.get_logger('ours').info('ours_happened', number=7)\n"
        "logging.getLogger('library').warning('%s happened', 'theirs')\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    structlog.get_logger('ours').exception('broke')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"CLAWTRACE_LOG_LEVEL": level, "PATH": ""},
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_logs_are_json_lines_on_stderr_in_one_shape() -> None:
    ours, theirs, broke = logged("info")
    assert (ours["event"], ours["number"], ours["process"], ours["level"]) == ("ours_happened", 7, "test", "info")
    assert (theirs["event"], theirs["logger"], theirs["process"]) == ("theirs happened", "library", "test")
    assert "ZeroDivisionError" in broke["exception"]


def test_the_level_comes_from_the_environment() -> None:
    assert [line["level"] for line in logged("ERROR")] == ["error"]
