"""Health server and logs of a process."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from infra.runtime.metrics import HealthServer, serve_health
from tests.captures import ROOT

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
    return httpx2.get(f"http://127.0.0.1:{server.port}{path}", trust_env=False)


def test_health_readiness_and_metrics(server: HealthServer) -> None:
    assert get(server, "/healthz").status_code == 200
    assert get(server, "/readyz").json() == {"ready": True, "missing": []}
    missing.append("Kafka: no answer")
    answer = get(server, "/readyz?verbose=1")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": ["Kafka: no answer"]})
    assert "clawtrace_runtime_key_lookups_total" in get(server, "/metrics").text
    assert get(server, "/other").status_code == 404


def test_a_check_that_crashes_means_not_ready(server: HealthServer) -> None:
    missing.append("crash")
    answer = get(server, "/readyz")
    assert answer.status_code == 503
    assert "RuntimeError" in answer.json()["missing"][0]


def test_the_port_is_free_after_close() -> None:
    server = serve_health(0, readiness)
    port = server.port
    server.close()
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
