"""Odd input is refused or finds nothing; it never breaks a route."""

from typing import Any

import pytest

from tests.integration.api.conftest import Client

ODD = (
    "\x00",
    "a\x00b",
    "'",
    '"; DROP TABLE x --',
    "%",
    "\\",
    "ä€\U0001f600",
    "\u202e",
    "?",
    "x" * 120,
    "NaN",
    "-1",
    " ",
)
READS = (
    "/v1/traces/{}",
    "/v1/traces/{}/skeleton",
    "/v1/traces/{}/card",
    "/v1/traces/x/diff/{}",
    "/v1/traces/x/spans/{}",
    "/v1/sessions/{}",
    "/v1/agents/{}/metrics",
    "/v1/agents/{}/guard",
    "/v1/rules/{}",
    "/v1/prices/reprices/{}",
)
QUERIES = (
    ("/v1/traces", "text"),
    ("/v1/traces", "tool"),
    ("/v1/traces", "agent_id"),
    ("/v1/traces", "min_cost_usd"),
    ("/v1/traces", "cursor"),
    ("/v1/alerts", "rule"),
    ("/v1/sessions", "agent_id"),
    ("/v1/usage", "by"),
    ("/v1/rules", "agent_id"),
    ("/v1/verdicts", "agent_id"),
    ("/v1/verdicts", "cursor"),
    ("/v1/prices", "model"),
    ("/v1/prices", "day"),
)


@pytest.mark.parametrize("odd", ODD)
def test_odd_ids_and_conditions(large: Client, odd: str) -> None:
    answers = [large.get(path.format(_escaped(odd))) for path in READS]
    answers += [large.get(path, **{name: odd}) for path, name in QUERIES]
    answers += [
        _send(large, "PUT", f"/v1/alerts/{_escaped(odd)}/ack", {"note": odd}),
        _send(large, "DELETE", f"/v1/keys/{_escaped(odd)}"),
        _send(large, "DELETE", f"/v1/members/{_escaped(odd)}"),
        _send(large, "PUT", f"/v1/members/{_escaped(odd)}", {"role": odd}),
        _send(large, "POST", "/v1/keys", {"scope": "read", "agent_id": odd}),
        _send(large, "PUT", f"/v1/rules/{_escaped(odd)}/override", {"settings": {odd: odd}}),
        _send(large, "PUT", "/v1/rules/tool_loop/override", {"settings": {"severity": odd}}),
        _send(large, "DELETE", f"/v1/budgets/{_escaped(odd)}"),
        _send(large, "PUT", "/v1/budgets", {"window": "day", "unit": "usd", "limit": odd, "session_prefix": odd}),
        _send(large, "POST", f"/v1/agents/{_escaped(odd)}/halt", {"reason": odd}),
        _send(large, "POST", f"/v1/agents/{_escaped(odd)}/runs/{_escaped(odd)}/release", {"reason": odd}),
        _send(large, "POST", "/v1/channels", {"name": odd, "target": {"kind": "slack", "url": odd}}),
        _send(large, "POST", "/v1/channels", {"name": "x", "target": {"kind": "email", "host": odd, "sender": odd}}),
        _send(large, "DELETE", f"/v1/channels/{_escaped(odd)}"),
        _send(large, "POST", f"/v1/channels/{_escaped(odd)}/test"),
        _send(large, "POST", "/v1/prices/overrides/check", _price(odd)),
        large.get("/v1/prices/lookup", provider=odd, model=odd),
        _send(large, "POST", f"/v1/prices/reprices/{_escaped(odd)}/apply"),
    ]
    for answer in answers:
        assert answer.status_code in (200, 201, 404, 405, 422), f"{answer.request.url}: {answer.text}"


def _price(odd: str) -> dict[str, str]:
    rates = {"input_usd_per_mtok": odd, "output_usd_per_mtok": "1"}
    return {"provider": odd, "model": odd, "source": odd, "effective_from": odd, **rates}


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _send(client: Client, method: str, path: str, body: Any = None) -> Any:
    return client.http.request(method, path, json=body, headers={"Authorization": f"Bearer {client.key}"})
