"""How long the API takes over a million spans: lists, a large trace, an agent's dashboard.

Upstream: a running stack (CLAWTRACE_HOME, CLAWTRACE_PORT_BASE) whose lake tests/bench/fill_lake.py has filled.
Downstream: a table for people, one line of JSON, and where Trino's time went.
Guarantee: times are of whole requests over HTTP, with gzip, as a browser makes them; the exit code is 1 when a target
is missed.

    python -m tests.bench.api_times
"""

import json
import re
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import httpx2
import requests
import uvicorn
from rich.console import Console
from rich.table import Table

from api.main import create_app
from api.settings import ApiSettings
from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine, migrate
from infra.runtime.trino_connection import OPERATOR, sign_token
from tests.bench.fill_lake import LARGE_TRACE, TENANT

PLAIN_WIDTH = 120
# Trino compiles a query's code when it first sees it; a person feels that once a start.
WARM_UP = 3


@dataclass(frozen=True)
class Times:
    """One kind of request."""

    name: str
    num_requests: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    num_bytes: int
    target_p50_ms: float | None
    target_p95_ms: float | None

    @property
    def is_good(self) -> bool:
        """Whether the targets are met."""
        pairs = ((self.p50_ms, self.target_p50_ms), (self.p95_ms, self.target_p95_ms))
        return all(target is None or value <= target for value, target in pairs)


Request = Callable[[httpx2.Client, int], int]


def measure(
    http: httpx2.Client, name: str, request: Request, count: int, p50_ms: float | None, p95_ms: float | None
) -> Times:
    """Time ``count`` requests, one after the other."""
    for number in range(WARM_UP):
        request(http, number)
    times, num_bytes = [], 0
    for number in range(count):
        began_at_s = time.perf_counter()
        num_bytes = request(http, number)
        times.append((time.perf_counter() - began_at_s) * 1000)
    ordered = sorted(times)
    p95 = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
    return Times(name, count, statistics.median(times), p95, ordered[-1], num_bytes, p50_ms, p95_ms)


def _get(path: str, **query: str) -> Request:
    def request(http: httpx2.Client, number: int) -> int:
        answer = http.get(path, params={name: value.format(number=number % 12) for name, value in query.items()})
        answer.raise_for_status()
        return int(answer.num_bytes_downloaded)

    return request


def _dashboard(http: httpx2.Client, number: int) -> int:
    """What an agent's page asks for, at once."""
    agent = f"/v1/agents/agent-{number % 12}"
    paths = (f"{agent}/metrics", f"{agent}/trends?bucket=hour", f"/v1/traces?agent_id=agent-{number % 12}&limit=20")
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(http.get, paths))
    for answer in answers:
        answer.raise_for_status()
    return sum(int(answer.num_bytes_downloaded) for answer in answers)


CASES: tuple[tuple[str, Request, int, float | None, float | None], ...] = (
    ("trace list, 90 days, newest 50", _get("/v1/traces"), 40, 300, 1000),
    ("trace list, one agent", _get("/v1/traces", agent_id="agent-{number}"), 40, 300, 1000),
    ("trace list, dearest first", _get("/v1/traces", sort="-cost_usd"), 40, 300, 1000),
    ("trace list, by tool", _get("/v1/traces", tool="tool_{number}"), 8, None, None),
    ("trace list, by text", _get("/v1/traces", text="no such file"), 8, None, None),
    ("skeleton, 50k spans", _get(f"/v1/traces/{LARGE_TRACE}/skeleton"), 12, 700, None),
    ("timeline, 50k spans", _get(f"/v1/traces/{LARGE_TRACE}/timeline"), 6, None, None),
    ("agent dashboard", _dashboard, 20, 1000, None),
    ("agents, 7 days", _get("/v1/agents"), 20, 1000, None),
    ("sessions, 30 days", _get("/v1/sessions"), 12, None, None),
    ("usage by day, 30 days", _get("/v1/usage", by="day"), 12, None, None),
    ("usage by model, 30 days", _get("/v1/usage", by="model"), 8, None, None),
)


# Values differ from request to request; what is left names the kind of query.
_LITERAL = re.compile(r"(?:DATE |TIMESTAMP )?'[^']*'|\d+")


def print_queries(settings: ApiSettings, console: Console) -> None:
    """Print where Trino's time went, by text of the query."""
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(settings.trino_ca_file)
        session.headers.update({"Authorization": f"Bearer {sign_token(settings, OPERATOR)}", "X-Trino-User": OPERATOR})
        listed = session.get(f"{settings.trino_url}/v1/query", timeout=30).json()
        seen: dict[str, str] = {}
        for query in listed:
            if query["state"] == "FINISHED" and query.get("resourceGroupId", [""])[-1] == f"t_{TENANT}":
                seen.setdefault(_LITERAL.sub("?", query["query"]), query["queryId"])
        table = Table(title="Where Trino's time goes (the newest query of each kind)")
        for column in ("query", "queued", "planning", "execution", "elapsed", "cpu", "read", "rows"):
            table.add_column(column, overflow="fold")
        for query_id in list(seen.values())[:24]:
            found = session.get(f"{settings.trino_url}/v1/query/{query_id}", timeout=30).json()
            stats = found["queryStats"]
            text = " ".join(found["query"].split()).replace("EXECUTE IMMEDIATE", "")
            names = ("queuedTime", "planningTime", "executionTime", "elapsedTime", "totalCpuTime")
            sizes = (str(stats["physicalInputDataSize"]), str(stats["physicalInputPositions"]))
            table.add_row(
                text[:40] + " … " + _LITERAL.sub("?", text)[-60:], *(str(stats[name]) for name in names), *sizes
            )
        console.print(table)


def main() -> int:
    """Measure everything; 0 when all targets are met."""
    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    settings = ApiSettings(api_requests_per_s=10_000, api_request_burst=100_000)
    database = make_engine(settings)
    migrate(database)
    pepper = read_pepper(settings.key_pepper_file)
    key = create_key(database, pepper, tenant_id=TENANT, agent_id=None, scope="read").key
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False))
        thread = threading.Thread(target=lambda: server.run(sockets=[free]), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.05)
        found = []
        headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"}
        url = "http://{}:{}".format(*free.getsockname())
        with httpx2.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as http:
            for name, request, count, p50_ms, p95_ms in CASES:
                with console.status(name):
                    found.append(measure(http, name, request, count, p50_ms, p95_ms))
        server.should_exit = True
        thread.join(20)
    table = Table()
    for column in ("request", "n", "p50 ms", "p95 ms", "max ms", "KB", "target"):
        table.add_column(column, justify="left" if column == "request" else "right")
    for times in found:
        targets = f"{times.target_p50_ms or '–'} / {times.target_p95_ms or '–'}"
        values = (f"{value:,.0f}" for value in (times.p50_ms, times.p95_ms, times.max_ms, times.num_bytes / 1000))
        table.add_row(times.name, str(times.num_requests), *values, targets, style="" if times.is_good else "red")
    console.print(table)
    print_queries(settings, console)
    print(json.dumps([asdict(times) for times in found]))
    return 0 if all(times.is_good for times in found) else 1


if __name__ == "__main__":
    sys.exit(main())
