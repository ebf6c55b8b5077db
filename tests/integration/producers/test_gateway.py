"""The gateway over a real broker and a real Postgres: what it acknowledged is there, whole, once, in order."""

import gzip
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import msgspec
import pytest
from sqlalchemy import Engine

from infra.runtime.access_keys import create_key, find_key, read_pepper, revoke_key
from infra.runtime.database import migrate, newest_version
from infra.runtime.kafka import TopicMismatch, missing_topics, provision_topics
from infra.runtime.settings import StackSettings
from infra.runtime.topics import DAY_MS, MAX_RECORD_BYTES
from producers.contracts.event import event_id_of
from producers.replay.capture import read_capture
from producers.replay.sender import replay_capture
from tests.captures import AGENT_EVENT_FILES, HOOK_FILES
from tests.integration.producers.conftest import Gateway, running_gateway, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.kafka]

NewKey = Callable[..., tuple[str, str]]


def body_of(events: list[Any], spool_id: str) -> dict[str, Any]:
    return {"schema_version": 1, "source": {"name": "test"}, "spool_id": spool_id, "events": events}


def event(seq: int, **fields: Any) -> dict[str, Any]:
    return {"seq": seq, "at_us": 1_700_000_000_000_000 + seq, "hook": "llm_input", "event": fields, "ctx": {}}


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def header_of(record: Any, name: str) -> str:
    return str(dict(record.headers())[f"clawtrace.{name}"], "utf-8")


def test_a_replayed_capture_lies_in_the_topic_whole_and_in_order(
    gateway: Gateway, client: httpx2.Client, new_key: NewKey
) -> None:
    key, _ = new_key("replayed")
    for _ in range(2):
        report = replay_capture(HOOK_FILES["subagent"], AGENT_EVENT_FILES["subagent"], client, key=key, batch_events=20)
        assert report.num_accepted == report.num_events
        assert not report.rejected
    capture = read_capture(HOOK_FILES["subagent"], AGENT_EVENT_FILES["subagent"])
    records = [r for r in gateway.topic.records() if r.key() == b"gatewaytest|replayed"]
    assert len({record.partition() for record in records}) == 1
    batches = [batch for batch in gateway.topic.batches() if batch.agent_id == "replayed"]
    assert {batch.tenant_id for batch in batches} == {"gatewaytest"}
    seqs = [event.seq for batch in batches for event in batch.events]
    assert seqs == [event.seq for event in capture.events] * 2
    ids = {event.event_id for batch in batches for event in batch.events}
    assert ids == {event_id_of(capture.spool_id, event.seq) for event in capture.events}


def test_hostile_neighbours_go_to_the_dead_letters_with_their_bytes(
    gateway: Gateway, client: httpx2.Client, new_key: NewKey
) -> None:
    key, _ = new_key("hostile")
    spool_id = str(uuid.uuid4())
    hostile = [
        b'{"seq":1,"at_us":1,"hook":"x","event":{"a":"\xff"},"ctx":{}}',
        b'{"seq":2,"at_us":1,"hook":"x","event":{"a":' + b"[" * 10_000 + b"]" * 10_000 + b'},"ctx":{}}',
        b'{"seq":"three","at_us":1,"hook":"x","event":{},"ctx":{}}',
        b'{"seq":4,"at_us":1,"hook":"x","event":{"runId":"\\u0000"},"ctx":{}}',
    ]
    good = [msgspec.json.encode(event(seq, runId="r")) for seq in (0, 5)]
    empty = json.dumps(body_of([], spool_id)).encode()
    sent = empty.replace(b'"events": []', b'"events":[' + b",".join([good[0], *hostile, good[1]]) + b"]")
    answer = client.post("/v1/events", content=sent, headers=headers(key))
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt["accepted"] == 2
    assert [item["index"] for item in receipt["rejected"]] == [1, 2, 3, 4]
    [batch] = [batch for batch in gateway.topic.batches() if batch.spool_id == spool_id]
    assert [taken.seq for taken in batch.events] == [0, 5]
    letters = [r for r in gateway.topic.records(dead_letters=True) if header_of(r, "spool_id") == spool_id]
    assert [letter.value() for letter in letters] == hostile
    assert [header_of(letter, "reason") for letter in letters] == [item["error"] for item in receipt["rejected"]]
    for letter in letters:
        assert header_of(letter, "stage") == "gateway"
        assert (header_of(letter, "tenant"), header_of(letter, "agent")) == ("gatewaytest", "hostile")
        assert int(header_of(letter, "received_at")) > 0


@pytest.mark.parametrize(
    ("content", "encoding", "field"),
    [
        (b'{"schema_version":', "identity", "body"),
        (b'{"schema_version":9,"source":{"name":"t"},"spool_id":"x","events":[1]}', "identity", "schema_version"),
        (b"this is no gzip", "gzip", "body"),
    ],
)
def test_bodies_that_cannot_be_read_are_kept_too(
    gateway: Gateway, client: httpx2.Client, new_key: NewKey, content: bytes, encoding: str, field: str
) -> None:
    key, _ = new_key(f"broken-{uuid.uuid4().hex[:8]}")
    before = len(gateway.topic.records(dead_letters=True))
    answer = client.post("/v1/events", content=content, headers={**headers(key), "Content-Encoding": encoding})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [item["field"] for item in answer.json()["errors"]] == [field]
    letters = gateway.topic.records(dead_letters=True)
    assert len(letters) == before + 1
    assert letters[-1].value() == content


def test_gzip_is_welcome_and_bombs_are_not(gateway: Gateway, client: httpx2.Client, new_key: NewKey) -> None:
    key, _ = new_key("gzip")
    spool_id = str(uuid.uuid4())
    packed = gzip.compress(json.dumps(body_of([event(seq) for seq in range(300)], spool_id)).encode())
    answer = client.post("/v1/events", content=packed, headers={**headers(key), "Content-Encoding": "gzip"})
    assert answer.json() == {"accepted": 300, "rejected": []}
    bomb = gzip.compress(b" " * 50_000_000)
    answer = client.post("/v1/events", content=bomb, headers={**headers(key), "Content-Encoding": "gzip"})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("extra", "status"),
    [({"Content-Encoding": "br"}, 415), ({"Content-Encoding": "zstd"}, 415), ({"Content-Length": "5000000"}, 413)],
)
def test_what_is_not_read_is_refused_by_its_headers(
    client: httpx2.Client, new_key: NewKey, extra: dict[str, str], status: int
) -> None:
    content = b"x" * 5_000_000 if status == 413 else b"{}"
    answer = client.post("/v1/events", content=content, headers={**headers(new_key()[0]), **extra})
    assert answer.status_code == status
    assert answer.json()["type"].startswith("urn:clawtrace:problem:")


def test_a_large_batch_becomes_several_records_in_order(
    gateway: Gateway, client: httpx2.Client, new_key: NewKey
) -> None:
    key, _ = new_key("large")
    spool_id = str(uuid.uuid4())
    events = [event(seq, text=f"{seq:08}" * 12_500) for seq in range(30)]
    answer = client.post("/v1/events", json=body_of(events, spool_id), headers=headers(key))
    assert answer.json() == {"accepted": 30, "rejected": []}
    records = [r for r in gateway.topic.records() if r.key() == b"gatewaytest|large"]
    assert len(records) >= 4
    assert max(len(record.value() or b"") for record in records) <= MAX_RECORD_BYTES
    batches = [batch for batch in gateway.topic.batches() if batch.spool_id == spool_id]
    assert [taken.seq for batch in batches for taken in batch.events] == list(range(30))


def test_many_agents_at_once_keep_their_order(gateway: Gateway, client: httpx2.Client, new_key: NewKey) -> None:
    spool_id = str(uuid.uuid4())

    def send(agent_id: str) -> None:
        key, _ = new_key(agent_id)
        for first in range(0, 100, 10):
            events = [event(seq) for seq in range(first, first + 10)]
            answer = client.post("/v1/events", json=body_of(events, spool_id), headers=headers(key))
            assert answer.status_code == 202

    agents = [f"many-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(agents)) as threads:
        list(threads.map(send, agents))
    batches = [batch for batch in gateway.topic.batches() if batch.spool_id == spool_id]
    for agent_id in agents:
        own = [taken.seq for batch in batches if batch.agent_id == agent_id for taken in batch.events]
        assert own == list(range(100))


def test_tenant_and_agent_in_a_body_count_for_nothing(gateway: Gateway, client: httpx2.Client, new_key: NewKey) -> None:
    spool_id = str(uuid.uuid4())
    lying = {**body_of([event(0, tenant_id="other00")], spool_id), "tenant_id": "other00", "agent_id": "other"}
    assert client.post("/v1/events", json=lying, headers=headers(new_key("honest")[0])).status_code == 202
    [batch] = [batch for batch in gateway.topic.batches() if batch.spool_id == spool_id]
    assert (batch.tenant_id, batch.agent_id) == ("gatewaytest", "honest")


def test_keys_count_at_once_and_revoked_ones_no_longer(client: httpx2.Client, new_key: NewKey, engine: Engine) -> None:
    body = body_of([event(0)], str(uuid.uuid4()))
    key, key_id = new_key("revoked")
    assert client.post("/v1/events", json=body, headers=headers(key)).status_code == 202
    record = find_key(engine, key_id)
    assert record is not None
    revoke_key(engine, key_id)
    # What is promised is in tests/unit/api/test_promises.py.
    took_s = wait_for(
        lambda: client.post("/v1/events", json=body, headers=headers(key)).status_code == 401, "the key is refused"
    )
    print(f"key revoked -> refused: {took_s:.1f} s")
    read_key, _ = new_key("reader", scope="read")
    assert client.post("/v1/events", json=body, headers=headers(read_key)).status_code == 403


def test_without_its_topic_it_says_so_and_acknowledges_nothing(
    broker_and_database: StackSettings, engine: Engine, new_key: NewKey
) -> None:
    with running_gateway(broker_and_database, with_topic=False) as gateway:
        wait_for(
            lambda: "topics provision" in httpx2.get(gateway.url + "/readyz", trust_env=False, timeout=60).text,
            "the missing topic is named",
        )
        body = body_of([event(0)], str(uuid.uuid4()))
        answer = httpx2.post(
            gateway.url + "/v1/events", json=body, headers=headers(new_key()[0]), trust_env=False, timeout=60
        )
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        provision_topics(gateway.topic.bootstrap, [gateway.topic.spec, gateway.topic.spec.dead_letter])
        wait_for(
            lambda: httpx2.get(gateway.url + "/readyz", trust_env=False, timeout=60).status_code == 200,
            "it goes on by itself",
        )
        answer = httpx2.post(
            gateway.url + "/v1/events", json=body, headers=headers(new_key()[0]), trust_env=False, timeout=60
        )
        assert answer.status_code == 202


def test_what_was_acknowledged_survives_the_gateways_sudden_end(
    broker_and_database: StackSettings, engine: Engine, new_key: NewKey
) -> None:
    key, _ = new_key("killed")
    spool_id = str(uuid.uuid4())
    with running_gateway(broker_and_database) as gateway:
        with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=60) as client:
            for seq in range(20):
                body = body_of([event(seq)], spool_id)
                assert client.post("/v1/events", json=body, headers=headers(key)).status_code == 202
            gateway.process.kill()
        seqs = [taken.seq for batch in gateway.topic.batches() for taken in batch.events]
        assert seqs == list(range(20))


def test_provisioning_again_changes_nothing_and_a_mismatch_is_refused(
    gateway: Gateway, broker_and_database: StackSettings
) -> None:
    bootstrap, spec = broker_and_database.kafka_bootstrap, gateway.topic.spec
    assert [topic.action for topic in provision_topics(bootstrap, [spec])] == ["unchanged"]
    longer = replace(spec, retention_ms=21 * DAY_MS)
    assert [topic.action for topic in provision_topics(bootstrap, [longer])] == ["updated"]
    # The broker says that it has changed it a moment before it shows that.
    wait_for(lambda: [it.action for it in provision_topics(bootstrap, [longer])] == ["unchanged"], "it has changed")
    with pytest.raises(TopicMismatch, match="4 partitions"):
        provision_topics(bootstrap, [replace(spec, partitions=8)])
    assert missing_topics(bootstrap, [spec.name, "gatewaytest.none"]) == ["gatewaytest.none"]


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    assert migrate(engine) == (newest_version(), newest_version())


def test_metrics_count_what_was_taken(client: httpx2.Client, new_key: NewKey) -> None:
    def accepted() -> float:
        lines = client.get("/metrics").text.splitlines()
        [line] = [line for line in lines if line.startswith('clawtrace_gateway_events_total{outcome="accepted"}')]
        return float(line.split()[-1])

    body = body_of([event(seq) for seq in range(3)], str(uuid.uuid4()))
    assert client.post("/v1/events", json=body, headers=headers(new_key()[0])).status_code == 202
    before = accepted()
    client.post("/v1/events", json=body, headers=headers(new_key()[0]))
    assert accepted() == before + 3


def test_a_tenant_beyond_its_share_waits_and_its_neighbour_does_not(
    broker_and_database: StackSettings, engine: Engine
) -> None:
    pepper = read_pepper(broker_and_database.key_pepper_file)
    hot, calm = (
        create_key(engine, pepper, tenant_id=tenant_id, agent_id="a", scope="ingest").key
        for tenant_id in ("gatewayhot", "gatewaycalm")
    )
    spools = {key: str(uuid.uuid4()) for key in (hot, calm)}
    sent = dict.fromkeys((hot, calm), 0)

    def send(client: httpx2.Client, key: str, num_events: int) -> httpx2.Response:
        events = [event(seq) for seq in range(sent[key], sent[key] + num_events)]
        answer = client.post("/v1/events", json=body_of(events, spools[key]), headers=headers(key))
        if answer.status_code == 202:
            sent[key] += num_events
        return answer

    with (
        running_gateway(broker_and_database, variables={"CLAWTRACE_GATEWAY_TENANT_EVENTS_PER_S": "50"}) as gateway,
        httpx2.Client(base_url=gateway.url, trust_env=False, timeout=60) as client,
    ):
        started_s = time.monotonic()
        answers = [send(client, hot, 100)]
        while answers[-1].status_code == 202:
            answers.append(send(client, hot, 100))
            # What the hot one sends beyond its share is no reason to let its neighbour wait.
            assert send(client, calm, 1).status_code == 202
        refused = answers[-1]
        assert refused.status_code == 429
        assert "more than 50 events a second" in refused.json()["detail"]
        assert 500 <= sent[hot] <= 500 + 50 * (time.monotonic() - started_s) + 100
        assert send(client, calm, 100).status_code == 202
        time.sleep(int(refused.headers["Retry-After"]))
        assert send(client, hot, 1).status_code == 202, "who waits as told gets in"
        stored = Counter(batch.tenant_id for batch in gateway.topic.batches() for _ in batch.events)
        assert stored == {"gatewayhot": sent[hot], "gatewaycalm": sent[calm]}
