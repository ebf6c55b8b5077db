"""The guard in real OpenClaw: a run that spends too much is stopped, whoever else is away or broken."""

import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.doors import Doors, wait_until
from tests.openclaw.balance import wait_until_quiet
from tests.openclaw.conftest import TENANT, Install
from tests.openclaw.host import PRICES
from tests.openclaw.provider import Entry
from tests.openclaw.relay import Relay

CAP_USD = Decimal("0.05")
NUM_CHILDREN = 20


def cost_usd(entry: Entry) -> Decimal:
    """What a request cost by the provider's own price list."""
    prices, buckets = PRICES[entry.model], entry.buckets
    per_million = (
        Decimal(str(prices["input"])) * buckets.input_tokens
        + Decimal(str(prices["output"])) * buckets.output_tokens
        + Decimal(str(prices["cacheRead"])) * buckets.cache_read_tokens
        + Decimal(str(prices["cacheWrite"])) * buckets.cache_write_tokens
    )
    return per_million / 1_000_000


@pytest.fixture(scope="module")
def relay(doors: Doors) -> Iterator[Relay]:
    """What stands between this module's OpenClaw and the stack."""
    relay = Relay(int(doors.stack.gateway_url.rsplit(":", 1)[1]))
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def guarded(
    make_install: Callable[..., Install], relay: Relay, clawtrace: Callable[..., subprocess.CompletedProcess[str]]
) -> Iterator[Install]:
    """An OpenClaw whose runs may cost five cents each, sub-agents included."""
    install = make_install("guarded", relay.url, {"tools": {"toolSearch": False}})
    done = clawtrace("guard", "set", "--tenant", TENANT, "--agent", install.agent_id, "--run-usd", str(CAP_USD))
    assert done.returncode == 0, done.stdout + done.stderr
    install.host.start_gateway()
    wait_until(
        lambda: guard_of(install).get("policy", {}).get("run_limit_usd"),
        lambda found: found is not None and Decimal(found) == CAP_USD,
        "the policy arrived",
    )
    yield install
    install.host.close()


def guard_of(install: Install) -> dict[str, Any]:
    """What the plugin says of its guard."""
    return dict(install.host.plugin_status().get("guard", {}))


def run_away(install: Install, label: str, marker: str = "runaway latency=0.1") -> list[Entry]:
    """Let a run go wild until it is quiet; what the provider was asked."""
    reply = install.host.ask(f"[[scenario:{marker} label={label}]] Go on for ever.", label)
    wait_until(lambda: install.entries(label), lambda found: len(found) > 0, "the run began")
    wait_until_quiet(lambda: install.entries(label), 120.0, quiet_s=4.0)
    reply.result(60)
    return install.entries(label)


def test_a_runaway_is_aborted_at_its_limit(guarded: Install, label: str) -> None:
    entries = run_away(guarded, label)
    spent, last = sum(map(cost_usd, entries)), cost_usd(entries[-1])
    print(f"\nrunaway: {len(entries)} calls, ${spent}, limit ${CAP_USD}")
    assert CAP_USD <= spent <= CAP_USD + last
    spans = guarded.balanced(label)
    run = next(span for span in spans if span["kind"] == "run")
    assert run["status"] in ("error", "blocked")
    # Events are stored in a table and a commit of their own.
    guarded.doors.wait_until_stored()
    decisions = guarded.doors.sql(
        guarded.read_key, f"SELECT run_id FROM events WHERE agent_id = '{guarded.agent_id}' AND hook = 'guard_decision'"
    )
    assert run["run_id"] in {decision["run_id"] for decision in decisions}


def test_twenty_sub_agents_share_the_limit(guarded: Install, label: str) -> None:
    # Each helper thinks for so long that all of them have begun before the first has cost anything.
    entries = run_away(guarded, label, f"fan-out children={NUM_CHILDREN} latency=12")
    spent = sum(map(cost_usd, entries))
    children = [entry for entry in entries if entry.scenario == "runaway"]
    slack = max(map(cost_usd, entries)) * NUM_CHILDREN
    print(f"\nfan-out: {len(entries)} calls ({len(children)} of children), ${spent}, limit ${CAP_USD} + ${slack}")
    assert sum(entry.step == 0 for entry in children) == NUM_CHILDREN
    assert CAP_USD <= spent <= CAP_USD + slack
    guarded.balanced(label)


def test_the_limit_holds_while_the_server_is_away(guarded: Install, relay: Relay, label: str) -> None:
    relay.go_away()
    try:
        wait_until(lambda: guard_of(guarded).get("serverAway"), lambda away: away is True, "the server is away")
        entries = run_away(guarded, label)
    finally:
        relay.come_back()
    spent = sum(map(cost_usd, entries))
    assert CAP_USD <= spent <= CAP_USD + cost_usd(entries[-1])
    guarded.balanced(label, within_s=90.0)


def test_ordinary_runs_are_left_alone(guarded: Install, label: str) -> None:
    reply = guarded.host.ask(f"[[scenario:multi-tool label={label}]] Please.", label)
    assert "the code is alpha-42" in reply.result(60)
    guarded.balanced(label)
