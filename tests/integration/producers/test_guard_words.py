"""Words of rules, budgets and people stand beside each other, in the gateway and in the plugin that hears it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from infra.runtime.settings import StackSettings
from producers.contracts.guard import Verdict
from producers.gateway.guard_feed import send_guard_message
from tests.captures import ROOT
from tests.integration.producers.conftest import Gateway, wait_for
from tests.integration.producers.guarding import (
    TENANT,
    NewKey,
    abort,
    new_agent,
    of_budget,
    policy,
    set_policy,
    settings_of,
    state_of,
    stream_of,
)

pytestmark = [pytest.mark.stack, pytest.mark.kafka]


def test_rules_budgets_and_people_do_not_hide_each_others_words(
    gateway: Gateway, new_key: NewKey, broker_and_database: StackSettings, engine: Engine
) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    settings = settings_of(broker_and_database, gateway)
    send = partial(send_guard_message, settings.kafka_bootstrap, gateway.guard_topic)
    by_rule = msgspec.structs.replace(
        of_budget(agent_id, 0, 90_000),
        body=Verdict(
            verdict_id="rule",
            scope="run",
            scope_id="r1",
            action="abort",
            reason="It goes in circles.",
            expires_at_us=time.time_ns() // 1000 + 60_000_000,
        ),
    )

    def told() -> list[str]:
        return [it["verdict_id"] for it in state_of(gateway, key).get("verdicts", [])]

    with stream_of(gateway, key) as stream:
        by_hand = abort(settings, agent_id)
        send(of_budget(agent_id, 1, 7))
        send(by_rule)
        wait_for(lambda: len(told()) == 3, "all three are told")
        assert told() == [by_hand, "budget-b1-1", "rule"]
        send(of_budget(agent_id, 1, 8, is_over=True))
        wait_for(lambda: told() == [by_hand, "rule"], "the budget's word is taken back, no other")
        wait_for(lambda: len(stream.states[-1]["verdicts"]) == 2, "and that is told at once")
        # A keeper that was killed before it could note that it had sent them sends them again.
        send(of_budget(agent_id, 1, 7))
        send(of_budget(agent_id, 2, 9))
        wait_for(lambda: "budget-b1-2" in told(), "the next word")
        assert told() == [by_hand, "rule", "budget-b1-2"]
        revs = [state["rev"] for state in stream.states]
        assert revs == sorted(set(revs))
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT who, action, verdict_id FROM control.guard_audit WHERE agent_id = %s", (agent_id,)
        ).all()
    assert [(row[1], row[2]) for row in rows] == [("abort", by_hand)]
    assert "@" in rows[0][0]


PLUGIN_PROCESS = """
import { createGuard, connectGuard } from %s;
const [endpoint, observeKey] = process.argv.slice(1);
const aborted = [];
const guard = createGuard({ abortRun: (sessionId) => aborted.push(sessionId) });
connectGuard({ endpoint, observeKey, guard });
const trace = { traceId: "t1", spanId: "s1" };
const ids = { runId: "r1", sessionKey: "s1", sessionId: "sid1" };
guard.onModelCallStarted({ ...ids, provider: "p", model: "m" }, { ...ids, trace });
let told = "";
const timer = setInterval(() => {
  const { policy, holds, hasState } = guard.status();
  const limit = policy.run_limit_usd;
  const now = JSON.stringify({ hasState, limit, numHolds: holds.length, aborted: aborted.length });
  if (now !== told) console.log((told = now));
}, 10);
setTimeout(() => process.exit(1), 600_000);
"""


def test_the_plugins_guard_hears_the_real_gateway(
    gateway: Gateway, new_key: NewKey, engine: Engine, broker_and_database: StackSettings
) -> None:
    node = Path(sys.executable).with_name("node")
    module = (ROOT / "producers/openclaw_plugin/src/guard/index.mjs").as_uri()
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    settings = settings_of(broker_and_database, gateway)
    script = PLUGIN_PROCESS % json.dumps(module)
    command = [str(node), "--input-type=module", "-e", script, "--", gateway.url, key]
    said: list[dict[str, Any]] = []
    # Node comes as a script that starts the program: both are ended as one group.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as plugin:
        assert plugin.stdout is not None
        lines = plugin.stdout
        threading.Thread(target=lambda: said.extend(json.loads(line) for line in lines), daemon=True).start()
        try:
            wait_for(lambda: bool(said) and said[-1]["hasState"], "the plugin has the state")
            set_policy(engine, TENANT, agent_id, policy("0.05"))
            wait_for(lambda: said[-1]["limit"] == "0.05", "the plugin has the policy")
            abort(settings, agent_id)
            waited_s = wait_for(lambda: said[-1]["aborted"] == 1, "the plugin has aborted the run")
            print(f"verdict sent to run aborted: {waited_s:.2f} s")
            assert said[-1]["numHolds"] == 1
            abort(settings, agent_id, "release")
            wait_for(lambda: said[-1]["numHolds"] == 0, "the plugin has released it")
            send = partial(send_guard_message, settings.kafka_bootstrap, gateway.guard_topic)
            send(of_budget(agent_id, 1, 1))
            wait_for(lambda: said[-1]["numHolds"] == 1, "a budget is used up")
            send(of_budget(agent_id, 1, 2, is_over=True))
            wait_for(lambda: said[-1]["numHolds"] == 0, "the budget was raised")
        finally:
            os.killpg(plugin.pid, signal.SIGKILL)
