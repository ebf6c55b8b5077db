"""What tests of the guard do as agents, people and the stream: read a stream, say a word, ask for the state."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
from sqlalchemy import Engine

from infra.runtime.settings import StackSettings
from producers.contracts.guard import GuardMessage, GuardPolicy, Verdict
from producers.gateway.guard_admin import send_verdict
from producers.gateway.guard_policies import change_policy
from producers.settings import GatewaySettings
from tests.integration.producers.conftest import READY_WITHIN_S, Gateway, wait_for

TENANT = "gatewaytest"
NewKey = Callable[..., tuple[str, str]]


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
                httpx2.Client(trust_env=False, timeout=READY_WITHIN_S) as client,
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
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client:
        wait_for(lambda: get(client, key).status_code == 200, "the guard topic has been read")
    thread = threading.Thread(target=stream.read, args=(f"{gateway.url}/v1/guard", sent, stop), daemon=True)
    thread.start()
    try:
        yield stream
    finally:
        stop.set()


def new_agent() -> str:
    """Name an agent that nobody else uses."""
    return f"a{uuid.uuid4().hex[:8]}"


def policy(run_usd: str | None) -> GuardPolicy:
    """Make a policy with this limit of a run."""
    return GuardPolicy(run_limit_usd=None if run_usd is None else Decimal(run_usd))


def set_policy(engine: Engine, tenant_id: str, agent_id: str, policy: GuardPolicy) -> None:
    """Set all of a policy."""
    change_policy(engine, tenant_id, agent_id, msgspec.structs.asdict(policy))


def settings_of(stack: StackSettings, gateway: Gateway) -> GatewaySettings:
    """Settings of a command that talks to the same topic as the gateway."""
    return GatewaySettings(home=stack.home, port_base=stack.port_base, gateway_guard_topic=gateway.guard_topic)


def abort(settings: GatewaySettings, agent_id: str, action: Any = "abort") -> str:
    """Say a word as a person does; return its id."""
    sent = send_verdict(
        settings, TENANT, agent_id, action=action, scope="session", scope_id="s1", reason="why", minutes=5
    )
    return sent.verdict.verdict_id


def get(client: httpx2.Client, key: str, query: str = "") -> httpx2.Response:
    """Ask for the state."""
    return client.get(f"/v1/guard{query}", headers={"Authorization": f"Bearer {key}"})


def state_of(gateway: Gateway, key: str) -> dict[str, Any]:
    """The state as the gateway tells it; empty while it tells none."""
    with httpx2.Client(base_url=gateway.url, trust_env=False, timeout=READY_WITHIN_S) as client:
        answer = get(client, key)
    return dict(answer.json()) if answer.status_code == 200 else {}


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
