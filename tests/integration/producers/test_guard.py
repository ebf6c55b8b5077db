"""The gateway's guard over a real broker and a real Postgres: what people and the stream decide reaches agents."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import httpx2
import pytest
from confluent_kafka.admin import AdminClient
from sqlalchemy import Engine

from infra.runtime.access_keys import revoke_key
from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from producers.contracts.guard import Allowance, GuardMessage
from producers.contracts.topics import GUARD
from producers.gateway.guard_feed import send_guard_message
from tests.integration.producers.conftest import KAFKA_TIMEOUT_S, READY_WITHIN_S, Gateway, running_gateway, wait_for
from tests.integration.producers.guarding import (
    TENANT,
    NewKey,
    Stream,
    abort,
    get,
    new_agent,
    policy,
    set_policy,
    settings_of,
    state_of,
    stream_of,
)

pytestmark = [pytest.mark.stack, pytest.mark.kafka]


def is_told(stream: Stream, run_limit_usd: Decimal) -> bool:
    return Decimal(stream.states[-1]["policy"]["run_limit_usd"] or 0) == run_limit_usd


def test_a_changed_policy_is_told(gateway: Gateway, new_key: NewKey, engine: Engine) -> None:
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
        # What is promised is in tests/unit/api/test_promises.py.
        print(f"policy told after {max(waits_s):.2f} s at most")
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
        waited_s = wait_for(lambda: len(stream.states) > 1, "the verdict is told")
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
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client:
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
        answer = waiting.result(READY_WITHIN_S)
    # It would have said 204 at the end of its time.
    assert answer.status_code == 200
    assert Decimal(answer.json()["policy"]["run_limit_usd"]) == Decimal("0.07")
    print(f"a poll that waited was answered after {time.monotonic() - started_s:.2f} s")


def test_a_revoked_key_ends_its_stream(gateway: Gateway, new_key: NewKey, engine: Engine) -> None:
    key, key_id = new_key(new_agent())
    with stream_of(gateway, key) as stream:
        wait_for(lambda: bool(stream.states), "the first state")
        assert revoke_key(engine, key_id)
        waited_s = wait_for(lambda: stream.has_ended, "the stream has ended")
        print(f"stream of a revoked key ended after {waited_s:.2f} s")


def test_only_ingest_keys(client: httpx2.Client, new_key: NewKey) -> None:
    read_key, _ = new_key(scope="read")
    assert get(client, read_key).status_code == 403
    assert client.put(f"/v1/blobs/{'a' * 64}", headers={"Authorization": f"Bearer {read_key}"}).status_code == 403


def test_streams_are_bounded_end_by_themselves_and_do_not_delay_a_stop(
    broker_and_database: StackSettings, new_key: NewKey
) -> None:
    key, _ = new_key(new_agent())
    few, short = {"CLAWTRACE_GATEWAY_GUARD_STREAMS": "2"}, {"CLAWTRACE_GATEWAY_GUARD_STREAM_S": "2"}
    with (
        running_gateway(broker_and_database, variables=few) as gateway,
        stream_of(gateway, key) as one,
        stream_of(gateway, key) as two,
        httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client,
    ):
        wait_for(lambda: bool(one.states and two.states), "both are open")
        refused = get(client, key)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        gateway.process.terminate()
        # By themselves they would last ten minutes.
        waited_s = wait_for(lambda: gateway.process.poll() is not None, "the gateway has stopped")
        print(f"gateway with open streams stopped after {waited_s:.2f} s")
    with running_gateway(broker_and_database, variables=short) as gateway, stream_of(gateway, key) as stream:
        wait_for(lambda: bool(stream.states) and stream.has_ended, "it ends by itself")
        assert gateway.process.poll() is None


def test_another_gateway_comes_to_the_same_rev(
    broker_and_database: StackSettings, new_key: NewKey, engine: Engine, tmp_path: Path
) -> None:
    agent_id = new_agent()
    key, _ = new_key(agent_id)
    # The stack's own price file may be written anew between the two.
    prices = {"CLAWTRACE_PRICES_FILE": str(tmp_path / "prices.toml")}
    topic = f"gatewaytest.{uuid.uuid4().hex[:8]}.shared-guard"
    set_policy(engine, TENANT, agent_id, policy("0.01"))
    states = []
    for number in range(2):
        with running_gateway(broker_and_database, guard_topic=topic, variables=prices) as gateway:
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
        deleted.exception(KAFKA_TIMEOUT_S)


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
        httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client,
    ):
        answer = get(client, key)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        provision_topics(broker_and_database.kafka_bootstrap, [replace(GUARD, name=gateway.guard_topic)])
        wait_for(lambda: get(client, key).status_code == 200, "the topic is read")
