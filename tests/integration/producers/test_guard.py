"""The gateway's guard over a real broker and a real Postgres: what people and the stream decide reaches agents."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine

from infra.runtime.access_keys import create_key, read_pepper, revoke_key
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from producers.contracts.guard import Allowance, GuardMessage, GuardPolicy, Verdict
from producers.contracts.topics import GUARD
from producers.gateway.blobs import MAX_BLOB_BYTES, blob_path
from producers.gateway.guard_admin import send_verdict
from producers.gateway.guard_feed import send_guard_message
from producers.gateway.guard_policies import set_policy
from producers.settings import GatewaySettings
from tests.captures import ROOT
from tests.integration.producers.conftest import Gateway, running_gateway, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.kafka]

TENANT = "gatewaytest"
NewKey = Callable[..., tuple[str, str]]
POLICY_SEEN_WITHIN_S = 2.0
KEY_EFFECTIVE_WITHIN_S = 5.0


@dataclass
class Stream:
    """What came over one stream: names, ids and data of its events, and whether it has ended."""

    status: int = 0
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    has_ended: bool = False

    @property
    def states(self) -> list[dict[str, Any]]:
        return [data for name, _, data in self.events if name == "state"]

    def read(self, url: str, headers: dict[str, str], stop: threading.Event) -> None:
        now: dict[str, str] = {}
        try:
            with (
                httpx2.Client(trust_env=False, timeout=30) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                self.status = answer.status_code
                for line in answer.iter_lines():
                    self.lines.append(line)
                    if line == "" and "data" in now:
                        self.events.append((now["event"], now.get("id", ""), json.loads(now["data"])))
                        now = {}
                    elif line and not line.startswith(":"):
                        name, _, value = line.partition(": ")
                        now[name] = value
                    if stop.is_set():
                        break
        except httpx2.TransportError:
            pass
        finally:
            self.has_ended = True


@contextmanager
def stream_of(gateway: Gateway, key: str, **headers: str) -> Iterator[Stream]:
    """Read a stream on a thread until the end of the block."""
    stream, stop = Stream(), threading.Event()
    sent = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream", **headers}
    with httpx2.Client(base_url=gateway.url, trust_env=False) as client:
        wait_for(lambda: get(client, key).status_code == 200, "the guard topic has been read")
    thread = threading.Thread(target=stream.read, args=(f"{gateway.url}/v1/guard", sent, stop), daemon=True)
    thread.start()
    try:
        yield stream
    finally:
        stop.set()


def new_agent() -> str:
    return f"a{uuid.uuid4().hex[:8]}"


def policy(run_usd: str | None) -> GuardPolicy:
    return GuardPolicy(run_limit_usd=None if run_usd is None else Decimal(run_usd))


def is_told(stream: Stream, run_limit_usd: Decimal) -> bool:
    return Decimal(stream.states[-1]["policy"]["run_limit_usd"] or 0) == run_limit_usd


def settings_of(stack: StackSettings, gateway: Gateway) -> GatewaySettings:
    return GatewaySettings(home=stack.home, port_base=stack.port_base, gateway_guard_topic=gateway.guard_topic)


def abort(settings: GatewaySettings, agent_id: str, action: Any = "abort") -> str:
    sent = send_verdict(
        settings, TENANT, agent_id, action=action, scope="session", scope_id="s1", reason="why", minutes=5
    )
    return sent.verdict.verdict_id


def get(client: httpx2.Client, key: str, query: str = "") -> httpx2.Response:
    return client.get(f"/v1/guard{query}", headers={"Authorization": f"Bearer {key}"})


def test_a_changed_policy_is_told_within_two_seconds(gateway: Gateway, new_key: NewKey, engine: Engine) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    with stream_of(gateway, key) as stream:
        wait_for(lambda: bool(stream.states), "the first state")
        assert stream.states[0]["policy"]["run_limit_usd"] is None
        waits_s = []
        for number in range(1, 6):
            wanted = Decimal(number) / 100
            set_policy(engine, TENANT, agent_id, policy(str(wanted)))
            waits_s.append(wait_for(partial(is_told, stream, wanted), "the policy is told"))
        print(f"policy told after {max(waits_s):.2f} s at most")
        assert max(waits_s) <= POLICY_SEEN_WITHIN_S
        revs = [state["rev"] for state in stream.states]
        assert revs == sorted(set(revs))
        assert [int(rev) for _, rev, _ in stream.events] == revs


def test_a_verdict_is_told_at_once_and_a_release_takes_it_back(
    gateway: Gateway, new_key: NewKey, broker_and_database: StackSettings
) -> None:
    agent_id, other_id = new_agent(), new_agent()
    key, other_key = new_key(agent_id)[0], new_key(other_id)[0]
    settings = settings_of(broker_and_database, gateway)
    with stream_of(gateway, key) as stream, stream_of(gateway, other_key) as other:
        wait_for(lambda: bool(stream.states and other.states), "the first states")
        verdict_id = abort(settings, agent_id)
        waited_s = wait_for(lambda: len(stream.states) > 1, "the verdict is told", 5)
        print(f"verdict told after {waited_s:.2f} s")
        assert [name for name, _, _ in stream.events] == ["state", "verdict", "state"]
        assert stream.events[1][2]["verdict_id"] == verdict_id
        assert [it["verdict_id"] for it in stream.states[-1]["verdicts"]] == [verdict_id]
        release_id = abort(settings, agent_id, "release")
        wait_for(lambda: len(stream.states) > 2, "the release is told")
        assert [it["verdict_id"] for it in stream.states[-1]["verdicts"]] == [release_id]
        assert len(other.events) == 1


def test_a_stream_goes_on_from_the_id_it_knows(gateway: Gateway, new_key: NewKey, engine: Engine) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    set_policy(engine, TENANT, agent_id, policy("0.01"))
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
        rev = get(client, key).json()["rev"]
    with stream_of(gateway, key, **{"Last-Event-ID": str(rev)}) as stream:
        wait_for(lambda: bool(stream.lines), "the stream is open")
        set_policy(engine, TENANT, agent_id, policy("0.02"))
        wait_for(lambda: bool(stream.states), "the change")
        assert [Decimal(it["policy"]["run_limit_usd"]) for it in stream.states] == [Decimal("0.02")]
    with stream_of(gateway, key, **{"Last-Event-ID": str(rev)}) as stream:
        wait_for(lambda: bool(stream.states), "what changed in between")
        assert stream.lines[0] == "retry: 1000"


def test_a_poll_answers_at_once_or_waits_for_the_change(client: httpx2.Client, new_key: NewKey, engine: Engine) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    first = get(client, key)
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    rev = first.json()["rev"]
    assert get(client, key, f"?since={rev}&wait_s=0.2").status_code == 204
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(get, client, key, f"?since={rev}&wait_s=25")
        started_s = time.monotonic()
        set_policy(engine, TENANT, agent_id, policy("0.07"))
        answer = waiting.result(30)
    assert answer.status_code == 200
    assert Decimal(answer.json()["policy"]["run_limit_usd"]) == Decimal("0.07")
    assert time.monotonic() - started_s < POLICY_SEEN_WITHIN_S + 0.5


def test_a_revoked_key_ends_its_stream_within_five_seconds(gateway: Gateway, new_key: NewKey, engine: Engine) -> None:
    key, key_id = new_key(new_agent())
    with stream_of(gateway, key) as stream:
        wait_for(lambda: bool(stream.states), "the first state")
        assert revoke_key(engine, key_id)
        waited_s = wait_for(lambda: stream.has_ended, "the stream has ended", KEY_EFFECTIVE_WITHIN_S)
        print(f"stream of a revoked key ended after {waited_s:.2f} s")


def test_only_ingest_keys(client: httpx2.Client, new_key: NewKey) -> None:
    read_key, _ = new_key(scope="read")
    assert get(client, read_key).status_code == 403
    assert client.put(f"/v1/blobs/{'a' * 64}", headers={"Authorization": f"Bearer {read_key}"}).status_code == 403


def test_streams_are_bounded_end_by_themselves_and_do_not_delay_a_stop(
    broker_and_database: StackSettings, new_key: NewKey
) -> None:
    key, _ = new_key(new_agent())
    limits = {"CLAWTRACE_GATEWAY_GUARD_STREAMS": "2", "CLAWTRACE_GATEWAY_GUARD_STREAM_S": "3"}
    with (
        running_gateway(broker_and_database, variables=limits) as gateway,
        stream_of(gateway, key) as one,
        stream_of(gateway, key) as two,
        httpx2.Client(base_url=gateway.url, trust_env=False) as client,
    ):
        wait_for(lambda: bool(one.states and two.states), "both are open")
        refused = get(client, key)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        wait_for(lambda: one.has_ended and two.has_ended, "they end", 6)
    with running_gateway(broker_and_database) as gateway, stream_of(gateway, key) as stream:
        wait_for(lambda: bool(stream.states), "it is open")
        gateway.process.terminate()
        waited_s = wait_for(lambda: gateway.process.poll() is not None, "the gateway has stopped", 10)
        print(f"gateway with an open stream stopped after {waited_s:.2f} s")


def test_another_gateway_comes_to_the_same_rev(
    broker_and_database: StackSettings, new_key: NewKey, engine: Engine
) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    topic = f"gatewaytest.{uuid.uuid4().hex[:8]}.shared-guard"
    set_policy(engine, TENANT, agent_id, policy("0.01"))
    states = []
    for number in range(2):
        with running_gateway(broker_and_database, guard_topic=topic) as gateway:
            settings = settings_of(broker_and_database, gateway)
            if number == 0:
                abort(settings, agent_id)
                send_guard_message(settings.kafka_bootstrap, topic, allowance(agent_id))

            wait_for(partial(has_allowance, gateway, key), "all is read")
            states.append(state_of(gateway, key))
    assert states[0] == states[1]
    assert Decimal(states[0]["allowances"][0]["granted_usd"]) == Decimal("0.0000005")
    admin = AdminClient({"bootstrap.servers": broker_and_database.kafka_bootstrap})
    for deleted in admin.delete_topics([topic]).values():
        deleted.exception(30)


def state_of(gateway: Gateway, key: str) -> dict[str, Any]:
    with httpx2.Client(base_url=gateway.url, trust_env=False) as client:
        answer = get(client, key)
    return dict(answer.json()) if answer.status_code == 200 else {}


def has_allowance(gateway: Gateway, key: str) -> bool:
    return len(state_of(gateway, key).get("allowances", [])) == 1


def allowance(agent_id: str) -> GuardMessage:
    now_us = time.time_ns() // 1000
    body = Allowance(
        allowance_id="a1",
        scope="agent",
        scope_id=agent_id,
        granted_usd=Decimal("0.0000005"),
        window="1h",
        expires_at_us=now_us + 60_000_000,
    )
    return GuardMessage(tenant_id=TENANT, agent_id=agent_id, rev=1, issued_at_us=now_us, body=body)


def test_without_its_topic_it_says_so_and_goes_on_when_it_is_there(
    broker_and_database: StackSettings, new_key: NewKey
) -> None:
    key, _ = new_key(new_agent())
    with (
        running_gateway(broker_and_database, with_topic=False) as gateway,
        httpx2.Client(base_url=gateway.url, trust_env=False) as client,
    ):
        answer = get(client, key)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        provision_topics(broker_and_database.kafka_bootstrap, [replace(GUARD, name=gateway.guard_topic)])
        wait_for(lambda: get(client, key).status_code == 200, "the topic is read")


def test_a_blob_is_stored_once_whole_and_for_its_tenant_only(
    client: httpx2.Client, new_key: NewKey, broker_and_database: StackSettings, engine: Engine
) -> None:
    key, _ = new_key()
    content = os.urandom(300_000)
    sha256 = hashlib.sha256(content).hexdigest()
    folder = broker_and_database.home / "blobs"

    def put(content: bytes, sha256: str = sha256, key: str = key, **headers: str) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {key}", **headers}
        return client.put(f"/v1/blobs/{sha256}", content=content, headers=sent)

    assert put(content[:-1]).status_code == 422
    assert not blob_path(folder, TENANT, sha256).exists()
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: put(content), range(8)))
    assert set(statuses) <= {200, 201}
    assert 201 in statuses
    assert put(content).status_code == 200
    path = blob_path(folder, TENANT, sha256)
    assert path.read_bytes() == content
    assert [it.name for it in path.parent.iterdir() if it.name.startswith(".new-")] == []

    other = create_key(
        engine, read_pepper(broker_and_database.key_pepper_file), tenant_id="blobother", agent_id="a", scope="ingest"
    )
    assert not blob_path(folder, "blobother", sha256).exists()
    assert put(content, key=other.key).status_code == 201

    for bad in ("x", sha256.upper(), "..%2f" + sha256[5:], sha256 + "0"):
        assert put(content, bad).status_code in (404, 422), bad
    assert put(content, **{"Content-Encoding": "gzip"}).status_code == 415
    big = os.urandom(MAX_BLOB_BYTES + 1)
    assert put(big, hashlib.sha256(big).hexdigest()).status_code == 413
    most = big[:-1]
    assert put(most, hashlib.sha256(most).hexdigest()).status_code == 201


def of_budget(agent_id: str, number: int, rev: int, *, is_over: bool = False) -> GuardMessage:
    """A budget's word to stop, as its keeper says it; or that it is over."""
    now_us = time.time_ns() // 1000
    body = Verdict(
        verdict_id=f"budget-b1-{number}",
        scope="agent",
        scope_id=agent_id,
        action="abort",
        reason="The day budget is used up.",
        expires_at_us=now_us if is_over else now_us + 60_000_000,
    )
    return GuardMessage(tenant_id=TENANT, agent_id=agent_id, rev=rev, issued_at_us=now_us, body=body)


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
        return [it["verdict_id"] for it in state_of(gateway, key)["verdicts"]]

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
setTimeout(() => process.exit(1), 60_000);
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
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as plugin:
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
            plugin.kill()
