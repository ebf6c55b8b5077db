"""The API with Tracy over the running stack: a database of its own, a model that does as it is told, an SSE reader."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import httpx2
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine, migrate
from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import api_settings, insert_rows, served

Event = tuple[str, dict[str, Any]]


@contextmanager
def own_database(stack: StackSettings) -> Iterator[Engine]:
    """Make a database beside that of the stack, migrate it, drop it at the end."""
    name = f"tracy_{secrets.token_hex(6)}"
    server = make_engine(stack)
    with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(stack.database_url()).set(database=name).render_as_string(hide_password=False)
    engine = make_engine(stack.model_copy(update={"postgres_dsn": SecretStr(url)}))
    migrate(engine)
    try:
        yield engine
    finally:
        engine.dispose()
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def environment(**settings: Any) -> Any:
    """Set settings of Tracy for the API that is served inside the block."""
    values = {f"CLAWTRACE_{name.upper()}": str(value) for name, value in settings.items()}
    return mock.patch.dict(os.environ, values)


@contextmanager
def served_tracy(stack: StackSettings, database: Engine, **settings: Any) -> Iterator[httpx2.Client]:
    """Serve the API of this checkout with these settings of Tracy."""
    dsn = SecretStr(database.url.render_as_string(hide_password=False))
    with environment(tracy_model_retries=0, **settings), served(api_settings(stack, postgres_dsn=dsn)) as client:
        yield client


@dataclass(frozen=True)
class Asker:
    """One tenant's way to Tracy."""

    http: httpx2.Client
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """The tenant's key."""
        return {"Authorization": f"Bearer {self.key}"}

    def ask(self, question: str, path: str = "/v1/tracy/chat", **body: Any) -> list[Event]:
        """Ask and read the whole stream."""
        answer = self.http.post(path, json={"question": question, **body}, headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        return read_events(answer.text)


def new_key(stack: StackSettings, database: Engine, tenant_id: str, scope: str, agent_id: str = "agent") -> str:
    """Make an access key."""
    pepper = read_pepper(stack.key_pepper_file)
    return create_key(database, pepper, tenant_id=tenant_id, agent_id=agent_id, scope=scope).key


def read_events(body: str) -> list[Event]:
    """Events of a stream."""
    events = []
    for block in body.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


def text_of(events: list[Event]) -> str:
    """The text of an answer."""
    return "".join(data["text"] for name, data in events if name == "text")


def datas(events: list[Event], name: str) -> list[dict[str, Any]]:
    """Data of all events of a name."""
    return [data for event, data in events if event == name]


def write_run(
    stack: StackSettings,
    tenant_id: str,
    trace_id: str,
    *,
    agent_id: str = "agent",
    name: str = "a run",
    cost_usd: str | None = "1.2345",
    at: datetime | None = None,
    spans: tuple[dict[str, Any], ...] = (),
) -> None:
    """Write one finished run with its spans into the lake."""
    at = at or datetime.now(UTC)
    cost = None if cost_usd is None else Decimal(cost_usd)
    head = {"tenant_id": tenant_id, "agent_id": agent_id, "trace_id": trace_id, "trace_date": at.date()}
    trace = {
        **head, "name": name, "category": "work", "status": "ok", "started_at": at, "ended_at": at,
        "duration_ms": 1_500, "num_spans": 1 + len(spans), "num_runs": 1, "num_model_calls": 2,
        "num_tool_calls": len(spans), "input_tokens": 12_345, "output_tokens": 678, "cost_usd": cost,
    }  # fmt: skip
    insert_rows(stack, "traces", [trace])
    rows = [
        {
            **head, "span_id": f"{trace_id}-s{number}", "kind": "tool_call", "operation_name": "execute_tool",
            "name": "execute_tool read", "tool_name": "read", "status": "ok", "started_at": at, "run_id": trace_id,
            **span,
        }
        for number, span in enumerate(spans)
    ]  # fmt: skip
    if rows:
        insert_rows(stack, "spans", rows)
