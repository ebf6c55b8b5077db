"""Serves the API and the built pages of this checkout over a running stack, until its input is closed.

Upstream: api/web/tests/global_setup.ts, which reads one line of JSON from stdout: the urls of API and gateway, and keys
by scope, for the demo's tenant and for one that is made for this run and has nothing yet, and where a webhook is taken.
Downstream: the stack that CLAWTRACE_TEST_HOME and CLAWTRACE_TEST_PORT_BASE (or CLAWTRACE_HOME …) name.
Guarantee: the keys are made for this run and revoked at its end; the stack itself is left as it is.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from api.settings import ApiSettings
from infra.local.demo import AGENT_ID, SCENARIOS, TENANT_ID
from infra.runtime.access_keys import Scope, create_key, parse_key, read_pepper, revoke_key
from infra.runtime.database import make_engine
from producers.replay.sender import replay_capture
from tests.captures import AGENT_EVENT_FILES, HOOK_FILES
from tests.integration.api.conftest import served
from tests.integration.api.tracy_stack import environment
from tests.integration.doors import wait_until
from tests.messages_server import Reply, Request, Say, messages_server
from tests.unit.stream_jobs.notify.servers import http_server

KEY_AGENT = "demo-agent"
OWN_AGENT = "watched-mac"

# Only of the agents that the tests send runs of: somebody may have sent more to a stack that runs.
COST_SQL = (
    "SELECT model, count(*) AS calls, sum(cost_usd) AS cost_usd FROM spans WHERE kind = 'model_call' "
    f"AND agent_id IN ('{AGENT_ID}', '{OWN_AGENT}') GROUP BY model ORDER BY model"
)
CHART = {
    "title": {"text": "Cost by model"},
    "xAxis": {"type": "category"},
    "yAxis": {"type": "value"},
    "series": [{"type": "bar", "encode": {"x": "model", "y": "cost_usd"}}],
}
# A question with this word gets an answer that never ends by itself: something to stop.
SLOW_WORD = "slowly"


def analyst(request: Request) -> Reply:
    """Answer as a model would that knows one query: run it, draw it, say what it gave."""
    last = request["messages"][-1]["content"]
    results = [block for block in last if isinstance(block, dict) and block["type"] == "tool_result"]
    asked = json.dumps(request["messages"], ensure_ascii=False)
    if SLOW_WORD in asked:
        return Say("One more look.\n", (("run_sql", {"sql": COST_SQL}),))
    if not results:
        return Say("I sum up the model calls.\n\n", (("run_sql", {"sql": COST_SQL}),))
    if "columns" in json.dumps(results):
        return Say(tools=(("draw_chart", {"result": "r1", "option": CHART}),))
    return Say(
        "**By model**, dearest last:\n\n- the first one cost $[[0.15|r1.0.cost_usd]] in [[27|r1.0.calls]] calls\n"
        "- in all there are [[2|r1.count]] models, and 99 unicorns\n\n![x](https://example.com/x.png)"
        "[elsewhere](https://example.com/)\n"
    )


@contextmanager
def local_model() -> Iterator[None]:
    """Serve the analyst to Tracy while the block lasts."""
    with messages_server() as model:
        model.behaviour = analyst
        with environment(tracy_base_url=model.url, tracy_api_key="local", tracy_max_queries=50):
            yield


def send_demo(settings: ApiSettings, api: httpx2.Client, ingest_key: str, read_key: str) -> None:
    """Send the runs of the demo, which doubles nothing, and wait until the tables hold them and their alert."""
    with httpx2.Client(base_url=settings.gateway_url, timeout=30, trust_env=False) as gateway:
        for scenario in SCENARIOS:
            path = HOOK_FILES[scenario]
            replay_capture(path, AGENT_EVENT_FILES.get(scenario), gateway, key=ingest_key)
    headers = {"Authorization": f"Bearer {read_key}"}

    def stored() -> int:
        found = api.get("/v1/traces", params={"agent_id": AGENT_ID, "limit": 100}, headers=headers)
        alerts = api.get("/v1/alerts", params={"rule": "run_cost"}, headers=headers)
        ended = [item for item in found.json()["items"] if not item["is_open"]]
        return len(ended) if alerts.json()["items"] else 0

    wait_until(stored, lambda num: num >= len(SCENARIOS), "the runs of the demo are stored")


def main() -> None:
    """Serve until stdin ends."""
    home = os.environ.get("CLAWTRACE_TEST_HOME") or os.environ.get("CLAWTRACE_HOME", ".clawtrace")
    base = os.environ.get("CLAWTRACE_TEST_PORT_BASE") or os.environ.get("CLAWTRACE_PORT_BASE", "4600")
    # Pages of a test ask faster than people do.
    settings = ApiSettings(
        home=Path(home), port_base=int(base), api_requests_per_s=500, api_request_burst=2_000, api_max_queries=16
    )
    engine = make_engine(settings)
    pepper = read_pepper(settings.key_pepper_file)
    tenant_id = os.environ.get("CLAWTRACE_E2E_TENANT", TENANT_ID)

    def make_keys(tenant: str, agent: str, *scopes: Scope) -> dict[str, str]:
        return {
            scope: create_key(engine, pepper, tenant_id=tenant, agent_id=agent, scope=scope).key for scope in scopes
        }

    keys = make_keys(tenant_id, KEY_AGENT, "read", "operate", "admin")
    own = make_keys(f"web{secrets.token_hex(6)}", OWN_AGENT, "ingest", "read", "operate", "admin")
    try:
        # Channels may lead to the receiver here, which is on this machine.
        with (
            local_model(),
            http_server() as receiver,
            environment(notify_allowed_networks="127.0.0.0/8"),
            served(settings) as client,
        ):
            if tenant_id == TENANT_ID:
                keys |= make_keys(tenant_id, AGENT_ID, "ingest")
                send_demo(settings, client, keys["ingest"], keys["read"])
            told = {
                "url": str(client.base_url),
                "gateway_url": settings.gateway_url,
                "receiver_url": receiver.url,
                "keys": keys,
                "own_keys": own,
            }
            print(json.dumps(told), flush=True)
            sys.stdin.read()
    finally:
        for key in (*keys.values(), *own.values()):
            parts = parse_key(key)
            assert parts is not None
            revoke_key(engine, parts.key_id)


if __name__ == "__main__":
    main()
