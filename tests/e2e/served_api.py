"""Serves the API and the built pages of this checkout over a running stack, until its input is closed.

Upstream: api/web/tests/global_setup.ts, which reads one line of JSON from stdout: url and keys by scope.
Downstream: the stack that CLAWTRACE_TEST_HOME and CLAWTRACE_TEST_PORT_BASE (or CLAWTRACE_HOME …) name.
Guarantee: the keys are made for this run and revoked at its end; the stack itself is left as it is.
"""

import json
import os
import sys
from pathlib import Path

from api.settings import ApiSettings
from infra.runtime.access_keys import create_key, read_pepper, revoke_key
from infra.runtime.database import make_engine, migrate
from tests.integration.api.conftest import served

DEMO_TENANT = "clawdemo"
DEMO_AGENT = "demo-agent"


def main() -> None:
    """Serve until stdin ends."""
    home = os.environ.get("CLAWTRACE_TEST_HOME") or os.environ.get("CLAWTRACE_HOME", ".clawtrace")
    base = os.environ.get("CLAWTRACE_TEST_PORT_BASE") or os.environ.get("CLAWTRACE_PORT_BASE", "4600")
    # Pages of a test ask faster than people do.
    settings = ApiSettings(
        home=Path(home), port_base=int(base), api_requests_per_s=500, api_request_burst=2_000, api_max_queries=16
    )
    engine = make_engine(settings)
    migrate(engine)
    pepper = read_pepper(settings.key_pepper_file)
    tenant_id = os.environ.get("CLAWTRACE_E2E_TENANT", DEMO_TENANT)
    made = {
        scope: create_key(engine, pepper, tenant_id=tenant_id, agent_id=DEMO_AGENT, scope=scope)
        for scope in ("read", "operate", "admin")
    }
    try:
        with served(settings) as client:
            keys = {scope: key.key for scope, key in made.items()}
            print(json.dumps({"url": str(client.base_url), "tenant_id": tenant_id, "keys": keys}), flush=True)
            sys.stdin.read()
    finally:
        for key in made.values():
            revoke_key(engine, key.key_id)


if __name__ == "__main__":
    main()
