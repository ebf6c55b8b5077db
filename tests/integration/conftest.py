"""The real stack, started once a session, and the doors to it."""

import json
import subprocess
from collections.abc import Callable, Iterator

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors
from tests.stack import run_clawtrace, running_stack, settings_of

TEST_PORT_BASE = 4720
# Tests wait until every table says that it has everything; by default some say so only once a minute.
QUICKER = {"CLAWTRACE_SINK_MARK_SECONDS": "3", "CLAWTRACE_SINK_SLOW_COMMIT_SECONDS": "3"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the stack carries its marker, so that ``-m 'not stack'`` leaves all of it out."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def stack_environment() -> Iterator[dict[str, str]]:
    """Environment of a running stack."""
    with running_stack(".clawtrace-test", TEST_PORT_BASE, **QUICKER) as environment:
        yield environment


@pytest.fixture(scope="session")
def stack(stack_environment: dict[str, str]) -> StackSettings:
    """Settings of the running stack."""
    return settings_of(stack_environment)


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
