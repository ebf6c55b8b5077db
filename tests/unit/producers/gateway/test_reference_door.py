"""The door for the reference's plugin: how bodies are cut, and what is set aside."""

import json

import httpx2
import pytest

from producers.gateway.app import create_app
from producers.gateway.reference_door import REFERENCE_PATH, adapt_envelopes, split_envelopes
from producers.settings import GatewaySettings
from tests.unit.producers.contracts.reference_examples import whole_trace
from tests.unit.producers.gateway.test_app import client, settings

__all__ = ["client", "settings"]

ENVELOPES = whole_trace()


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ENVELOPES),
        json.dumps(ENVELOPES, indent=2),
        "\n".join(map(json.dumps, ENVELOPES)),
        "\r\n\r\n".join(map(json.dumps, ENVELOPES)) + "\n",
    ],
)
def test_arrays_and_lines_are_the_same(body: str) -> None:
    envelopes = split_envelopes(body.encode())
    assert [json.loads(envelope) for envelope in envelopes] == ENVELOPES
    spools, aside = adapt_envelopes(envelopes)
    assert aside == []
    assert len({spool.spool_id for spool in spools}) == len(spools)


def test_one_envelope_may_span_lines() -> None:
    assert len(split_envelopes(json.dumps(ENVELOPES[0], indent=1).encode())) == 1


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"[1,"])
def test_a_body_without_envelopes_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="the body"):
        split_envelopes(body)


def test_a_bad_envelope_sinks_no_other() -> None:
    lines = [json.dumps(ENVELOPES[0]), "no json", json.dumps({"event": {}}), json.dumps(ENVELOPES[1])]
    spools, aside = adapt_envelopes(split_envelopes("\n".join(lines).encode()))
    assert sum(len(spool.events) for spool in spools) == 3
    assert [item.rejection.index for item in aside] == [1, 2]
    assert aside[0].raw == b"no json"


async def test_nobody_gets_in_without_a_key(client: httpx2.AsyncClient) -> None:
    answer = await client.post(REFERENCE_PATH, content=b"{}")
    assert answer.status_code == 401


def test_the_route_is_documented(settings: GatewaySettings) -> None:
    route = create_app(settings).openapi()["paths"][REFERENCE_PATH]["post"]
    assert set(route["responses"]) == {"202", "401", "403", "413", "415", "422", "429", "503"}
