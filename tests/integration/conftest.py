"""The real stack, started once a session, and the doors to it."""

import json
import subprocess
from collections.abc import Callable, Iterator

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors
from tests.stack import QUICKER, running_stack
from tests.stack_fixtures import clawtrace as clawtrace
from tests.stack_fixtures import stack as stack

TEST_PORT_BASE = 4720


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
