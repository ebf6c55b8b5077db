"""The real stack, started once a session, and the doors to it.

``CLAWTRACE_TEST_HOME`` and ``CLAWTRACE_TEST_PORT_BASE`` point at a stack that runs already (for quick work on one
test); without them a fresh one is started in a folder of its own and stopped at the end.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors
from tests.stack_config import write_stack_config

ROOT = Path(__file__).resolve().parents[2]
TEST_PORT_BASE = "4720"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the stack carries its marker, so that ``-m 'not stack'`` leaves all of it out."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)


def run_clawtrace(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a ``clawtrace`` command as a user would and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        check=False,
        text=True,
        capture_output=True,
        cwd=ROOT,
        env=environment,
        timeout=600,
    )


@pytest.fixture(scope="session")
def stack_environment() -> Iterator[dict[str, str]]:
    """Environment of a running stack."""
    reused = os.environ.get("CLAWTRACE_TEST_HOME")
    home = Path(reused) if reused else ROOT / ".clawtrace-test"
    base = os.environ.get("CLAWTRACE_TEST_PORT_BASE", TEST_PORT_BASE)
    environment = {**os.environ, "CLAWTRACE_HOME": str(home), "CLAWTRACE_PORT_BASE": base}
    if not reused:
        run_clawtrace("down", environment=environment)
        shutil.rmtree(home, ignore_errors=True)
    write_stack_config(home)
    started = run_clawtrace("up", environment=environment)
    assert started.returncode == 0, f"the stack did not start:\n{started.stdout}\n{started.stderr}"
    yield environment
    if not reused:
        stopped = run_clawtrace("down", environment=environment)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="session")
def stack(stack_environment: dict[str, str]) -> StackSettings:
    """Settings of the running stack."""
    return StackSettings(
        home=Path(stack_environment["CLAWTRACE_HOME"]), port_base=int(stack_environment["CLAWTRACE_PORT_BASE"])
    )


@pytest.fixture(scope="session")
def clawtrace(stack_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a ``clawtrace`` command against the running stack."""
    return lambda *arguments: run_clawtrace(*arguments, environment=stack_environment)


@pytest.fixture(scope="session")
def make_key(clawtrace: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Create an access key: ``make_key(tenant, agent, scope)``."""

    def make(tenant_id: str, agent_id: str, scope: str) -> str:
        arguments = ("keys", "create", "--tenant", tenant_id, "--agent", agent_id, "--scope", scope, "--json")
        done = clawtrace(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["key"])

    return make


@pytest.fixture(scope="session")
def doors(stack: StackSettings) -> Iterator[Doors]:
    """HTTP clients and Kafka look-ups for the running stack."""
    with httpx2.Client(timeout=60, trust_env=False) as client:
        yield Doors(stack, client)
