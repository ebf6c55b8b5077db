"""Prices of the past on the real stack: a dry run changes nothing, then calls, runs and traces cost the new amount."""

import json
import subprocess
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from infra.runtime.settings import StackSettings
from tests.captures import hook_lines
from tests.integration.doors import Doors, wait_until, wire_batch

SCENARIO = "subagent"
AGENT = "box"
# USD per million tokens, other than those of the captures.
NEW = {"input": "7", "output": "31", "cache_read": "0.9", "cache_write": "8.5"}
CALLS = (
    "SELECT span_id, started_at, cost_usd, price_id, reported_cost_usd, input_tokens, cache_read_tokens, "
    "cache_write_tokens, cache_write_1h_tokens, output_tokens FROM spans WHERE kind = 'model_call' ORDER BY span_id"
)
TOTALS = (
    "SELECT (SELECT count(*) FROM spans) AS num_spans, (SELECT count(*) FROM traces) AS num_traces, "
    "(SELECT sum(cost_usd) FROM spans) AS of_calls, (SELECT sum(run_cost_usd) FROM spans) AS of_runs, "
    "(SELECT sum(cost_usd) FROM traces) AS of_traces, (SELECT sum(reported_cost_usd) FROM traces) AS reported, "
    "(SELECT sum(num_model_calls) FROM traces) AS num_calls, (SELECT count(*) FROM cards) AS num_cards, "
    "(SELECT sum(total_cost_usd) FROM cards) AS of_cards"
)

Clawtrace = Callable[..., subprocess.CompletedProcess[str]]


class Tenant:
    """A tenant with one install that has sent a capture."""

    def __init__(self, name: str, doors: Doors, make_key: Callable[..., str]) -> None:
        self.name = f"{name}{uuid.uuid4().hex[:6]}"
        self.doors = doors
        self.ingest_key = make_key(self.name, AGENT, "ingest")
        self.read_key = make_key(self.name, "reader", "read")
        answer = doors.send(self.ingest_key, wire_batch(hook_lines(SCENARIO), str(uuid.uuid4())))
        assert answer.status_code == 202, answer.text

    def ask(self, statement: str) -> list[dict[str, Any]]:
        """Rows of the tenant's views."""
        return self.doors.sql(self.read_key, statement)

    def totals(self, of_cards: Decimal) -> dict[str, Any]:
        """Counts and sums, as soon as the cards cost so much: nothing else waits for them."""
        return wait_until(
            lambda: self.ask(TOTALS)[0],
            lambda found: found["of_cards"] is not None and Decimal(found["of_cards"]) == of_cards,
            f"cards of {of_cards} dollars",
        )

    def num_stored(self) -> int:
        """Rows of spans that are stored, superseded ones too."""
        statement = f"SELECT count(*) FROM iceberg.silver.spans WHERE tenant_id = '{self.name}'"
        return int(self.doors.operator_rows(statement)[0][0])


@pytest.fixture
def tenants(doors: Doors, make_key: Callable[..., str]) -> tuple[Tenant, Tenant]:
    """One whose prices change, and another."""
    both = Tenant("reprice", doors, make_key), Tenant("bystander", doors, make_key)
    doors.wait_until_stored()
    return both


def new_cost(row: dict[str, Any]) -> Decimal:
    """What a call costs by the new prices."""
    assert row["cache_write_1h_tokens"] == 0
    usd = sum((Decimal(rate) * int(row[f"{name}_tokens"]) for name, rate in NEW.items()), Decimal(0))
    return usd / Decimal(1_000_000)


def test_history_is_priced_again_once(
    tenants: tuple[Tenant, Tenant], clawtrace: Clawtrace, doors: Doors, stack: StackSettings
) -> None:
    tenant, bystander = tenants
    before = tenant.ask(CALLS)
    was_usd = sum((Decimal(row["cost_usd"]) for row in before), Decimal(0))
    totals_before = tenant.totals(was_usd)
    bystander_before = bystander.ask(CALLS), bystander.totals(was_usd)
    num_stored = tenant.num_stored()
    assert len(before) >= 3
    assert Decimal(totals_before["of_calls"]) == Decimal(totals_before["of_traces"]) == was_usd > 0
    day = min(row["started_at"] for row in before)[:10]

    rates = [f"--{name.replace('_', '-')}={usd}" for name, usd in NEW.items()]
    file = f"--file={stack.home / 'config/prices.toml'}"
    done = clawtrace("prices", "set", "fake", "*", *rates, f"--from={day}", f"--tenant={tenant.name}", file)
    assert done.returncode == 0, done.stderr

    def reprice(*more: str) -> dict[str, Any]:
        arguments = ("prices", "reprice", f"--since={day}", f"--read-key={tenant.read_key}", "--json", file)
        done = clawtrace(*arguments, f"--api={stack.api_url}", f"--endpoint={stack.gateway_url}", *more)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    said = reprice()
    wanted = {row["span_id"]: new_cost(row) for row in before}
    expected = sum(wanted.values(), Decimal(0))
    assert (said["calls"], said["applied"]) == (len(before), False)
    assert Decimal(said["was_usd"]) == was_usd
    assert Decimal(said["now_usd"]) == expected
    doors.wait_until_stored()
    assert (tenant.ask(CALLS), tenant.ask(TOTALS)[0], tenant.num_stored()) == (before, totals_before, num_stored)

    # The stitcher reads its price file every few seconds; until then it has nothing to change.
    wait_until(lambda: _applied(tenant, reprice), lambda found: found == wanted, "the new prices hold")

    after, totals = tenant.ask(CALLS), tenant.totals(expected)
    assert len({row["price_id"] for row in after} & {row["price_id"] for row in before}) == 0
    for old, new in zip(before, after, strict=True):
        same = set(old) - {"cost_usd", "price_id"}
        assert {name: new[name] for name in same} == {name: old[name] for name in same}
    for name in ("of_calls", "of_runs", "of_traces"):
        assert Decimal(totals[name]) == expected, name
    for name in ("num_spans", "num_traces", "num_calls", "num_cards", "reported"):
        assert totals[name] == totals_before[name], name
    assert tenant.num_stored() > num_stored
    again = reprice(f"--agent={AGENT}", f"--key={tenant.ingest_key}", "--apply")
    assert (again["calls"], again["requests"]) == (0, 0)
    assert (bystander.ask(CALLS), bystander.totals(was_usd)) == bystander_before


def _applied(tenant: Tenant, reprice: Callable[..., dict[str, Any]]) -> dict[str, Decimal]:
    reprice(f"--agent={AGENT}", f"--key={tenant.ingest_key}", "--apply")
    tenant.doors.wait_until_stored()
    return {row["span_id"]: Decimal(row["cost_usd"]) for row in tenant.ask(CALLS)}
