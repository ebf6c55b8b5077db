"""The reference's door over a real broker: what it acknowledged is there, and a second copy has the same ids."""

import gzip
import json
from collections.abc import Callable

import httpx2
import pytest

from producers.contracts.reference_envelope import trace_id_of
from producers.gateway.reference_door import REFERENCE_PATH
from tests.integration.producers.conftest import Gateway
from tests.unit.producers.contracts.reference_examples import RUN, whole_trace

pytestmark = [pytest.mark.stack, pytest.mark.kafka]


def test_envelopes_lie_in_the_topic_however_they_were_sent(
    gateway: Gateway, client: httpx2.Client, new_key: Callable[..., tuple[str, str]]
) -> None:
    key, _ = new_key("reference")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    envelopes = whole_trace()
    for envelope in envelopes:
        answer = client.post(REFERENCE_PATH, content=json.dumps(envelope), headers=headers)
        assert answer.status_code == 202
        assert answer.json()["rejected"] == []
    lines = gzip.compress("\n".join(map(json.dumps, envelopes)).encode())
    packed = headers | {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert client.post(REFERENCE_PATH, content=lines, headers=packed).status_code == 202
    batches = [batch for batch in gateway.topic.batches() if batch.agent_id == "reference"]
    assert {batch.source.name for batch in batches} == {"reference-plugin"}
    ids = [event.event_id for batch in batches for event in batch.events]
    assert len(ids) == 2 * len(set(ids))
    assert {event.trace.trace_id for batch in batches for event in batch.events if event.trace} == {trace_id_of(RUN)}


def test_what_is_no_envelope_is_kept(
    gateway: Gateway, client: httpx2.Client, new_key: Callable[..., tuple[str, str]]
) -> None:
    key, _ = new_key("reference-broken")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps([whole_trace()[0], {"event": "none"}])
    answer = client.post(REFERENCE_PATH, content=body, headers=headers)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert [item["index"] for item in answer.json()["rejected"]] == [1]
    assert client.post(REFERENCE_PATH, content=b"[1,", headers=headers).status_code == 422
    letters = [
        record.value()
        for record in gateway.topic.records(dead_letters=True)
        if record.key() == b"gatewaytest|reference-broken"
    ]
    assert letters == [b'{"event": "none"}', b"[1,"]
