"""The plugin's own guard, under the leases and verdicts that a budget gives it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from producers.contracts.guard import GuardMessage, GuardPolicy, GuardPrice, GuardState
from producers.gateway.guard_ledger import GuardLedger
from stream_jobs.core.budgets.settlement import Told
from stream_jobs.core.budgets.windows import window_end
from tests.unit.stream_jobs.budgets.making import NOW_US, S_US, TENANT, Kept, budget, spend

ROOT = Path(__file__).resolve().parents[4]
AGENT = "laptop"
TOKENS_PER_CALL = 50_000
# A dollar for a million tokens: a call is five cents.
PRICE = GuardPrice(provider="p", model="m", input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(1))
GUARD = """
import { createInterface } from "node:readline";
import { createGuard } from %s;
let nowMs = 0;
let calls = 0;
const guard = createGuard({ now: () => nowMs, abortRun: () => {} });
const ids = { runId: "r1", sessionKey: "agent:main:main", sessionId: "sid1" };
for await (const line of createInterface({ input: process.stdin })) {
  const { at_us, state, num_tokens } = JSON.parse(line);
  nowMs = at_us / 1000;
  if (state) guard.applyState(state);
  if (num_tokens) {
    const trace = { traceId: "t1", spanId: `s${++calls}` };
    guard.onModelCallStarted({ ...ids, provider: "p", model: "m" }, { ...ids, trace });
    guard.onUsage({ ...ids, spanId: trace.spanId, trace, provider: "p", model: "m", usage: { input: num_tokens } });
  }
  const gate = guard.beforeAgentRun({ runId: "r2" }, { ...ids, runId: "r2", trace: { traceId: "t2", spanId: "x" } });
  const { numErrors, lastError } = guard.status();
  console.log(JSON.stringify({ isClosed: gate?.outcome === "block", reason: gate?.reason, numErrors, lastError }));
}
"""


class Plugin:
    """A guard in Node, with the gateway's ledger before it."""

    def __init__(self) -> None:
        module = (ROOT / "producers/openclaw_plugin/src/guard/index.mjs").as_uri()
        node = str(Path(sys.executable).with_name("node"))
        command = [node, "--input-type=module", "-e", GUARD % json.dumps(module)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ledger = GuardLedger()
        self._rev = 0

    def hear(self, told: Told, now_us: int, rev: int) -> dict[str, Any]:
        """Pass on what comes out of the budget, as the gateway does: whole, without what was taken back."""
        for agent_id, body in told.messages:
            message = GuardMessage(tenant_id=TENANT, agent_id=agent_id, rev=rev, issued_at_us=now_us, body=body)
            self._ledger.add(message, now_us)
        verdicts, allowances, _ = self._ledger.in_force((TENANT, AGENT), now_us)
        self._rev += 1
        state = GuardState(
            rev=self._rev, policy=GuardPolicy(), prices=[PRICE], allowances=allowances, verdicts=verdicts
        )
        return self._ask({"at_us": now_us, "state": msgspec.to_builtins(state)})

    def call(self, now_us: int, num_tokens: int = TOKENS_PER_CALL) -> dict[str, Any]:
        """Make a model call."""
        return self._ask({"at_us": now_us, "num_tokens": num_tokens})

    def look(self, now_us: int) -> dict[str, Any]:
        """See whether a run may begin."""
        return self._ask({"at_us": now_us})

    def _ask(self, what: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what, default=str) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["numErrors"] == 0, answer["lastError"]
        return dict(answer)


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    plugin = Plugin()
    yield plugin
    plugin.process.kill()
    plugin.process.wait(10)


@pytest.mark.parametrize(("limit", "dearer_percent"), [("2", 0), ("10", 0), ("2", 20)])
def test_it_stops_at_the_limit_and_not_before(plugin: Plugin, limit: str, dearer_percent: int) -> None:
    kept, now_us, spent = Kept(budget(limit, agent_id=AGENT)), NOW_US, Decimal(0)
    plugin.hear(Told(), now_us, 0)
    on_the_way: list[Decimal] = []
    is_closed = False
    while not is_closed:
        now_us += 2 * S_US
        # The plugin may know another price than we do.
        cost = Decimal("0.05") * 100 / (100 + dearer_percent)
        is_closed = plugin.call(now_us)["isClosed"]
        spent += cost
        on_the_way.append(cost)
        if len(on_the_way) == 3 or is_closed:
            charges = [(AGENT, spend(str(it), now_us)) for it in on_the_way]
            on_the_way = []
            told = kept.settle(*charges, now_us=now_us)
            is_closed = plugin.hear(told, now_us, kept.rev)["isClosed"]
    assert Decimal(limit) * Decimal("0.85" if dearer_percent else "1") <= spent <= Decimal(limit) + Decimal("0.15")


def test_raising_the_limit_opens_it_again_and_the_next_window_too(plugin: Plugin) -> None:
    kept = Kept(budget("1", agent_id=AGENT))
    plugin.hear(Told(), NOW_US, 0)
    told = kept.settle((AGENT, spend("1")))
    answer = plugin.hear(told, NOW_US, kept.rev)
    assert answer["isClosed"]
    assert "day budget" in answer["reason"]
    kept.budget = budget("5", agent_id=AGENT)
    assert not plugin.hear(kept.settle(), NOW_US, kept.rev)["isClosed"]
    kept.budget = budget("1", agent_id=AGENT)
    assert plugin.hear(kept.settle(), NOW_US, kept.rev)["isClosed"]
    verdict_ends_us = window_end("day", NOW_US)
    assert plugin.look(verdict_ends_us - S_US)["isClosed"]
    # By itself, even if nobody could tell it.
    assert not plugin.look(verdict_ends_us + S_US)["isClosed"]


def test_who_finds_all_handed_out_waits_for_room(plugin: Plugin) -> None:
    kept = Kept(budget("1"))
    plugin.hear(Told(), NOW_US, 0)
    kept.settle(("office", spend("0.3")))
    while kept.state.outstanding() < Decimal("0.7"):
        kept.settle(("office", spend("0")))
    assert plugin.hear(kept.settle((AGENT, spend("0.01"))), NOW_US, kept.rev)["isClosed"]
    kept.budget = budget("2")
    assert not plugin.hear(kept.settle(), NOW_US, kept.rev)["isClosed"]
