"""How long the API takes over a million spans: lists, a large trace, an agent's dashboard.

Upstream: a stack of its own whose lake tests/bench/fill_lake.py fills once and which is kept, or the running one that
CLAWTRACE_TEST_HOME and CLAWTRACE_TEST_PORT_BASE name; the API of this checkout, as a process of its own.
Downstream: tables for people, one line of JSON: times, where Trino spent them, and the ledger.
Guarantee: times are of whole requests over HTTP, with gzip, as a browser makes them, each with the machine's load
beside it; the exit code is 1 when a target is missed or the views do not hold what was written.

    python -m tests.bench.api_times
"""

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import psutil
import uvicorn
from rich.console import Console
from rich.table import Table

from api.main import create_app
from api.settings import ApiSettings
from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine, migrate
from infra.runtime.trino_connection import OPERATOR, connect
from lakehouse.settings import LakeSettings
from tests.bench.fill_lake import fill_once
from tests.bench.month import LARGE_TRACE, NUM_AGENTS, TENANT
from tests.bench.trino_profile import QueryCost, TrinoProfile
from tests.stack import ROOT, run_clawtrace, write_stack_config

PORT_BASE = 4820
FOLDER = ".clawtrace-bench-api"
# The API needs no more; Kafka is what its live window reads.
PARTS = "postgres,kafka,trino,db-migrate,topics-provision,lake-provision,trino-rules,lake-views"
PLAIN_WIDTH = 130
# Trino compiles a query's code when it first sees it; a person feels that once a start.
WARM_UP = 3
READY_WITHIN_S = 120.0
# The last so many requests of a kind: Trino remembers 50 queries (query.max-history), some requests make four.
NUM_PROFILED = 8


@dataclass(frozen=True)
class Times:
    """One kind of request. ``first_ms`` is the first of its kind that a fresh API process answered.

    The CPU of the two processes per request, planning and all, says the same on a busy machine as on a quiet one.
    """

    name: str
    num_requests: int
    first_ms: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    num_bytes: int
    trino_cpu_ms: float
    api_cpu_ms: float
    load_average: float
    target_p50_ms: float | None
    target_p95_ms: float | None
    trino: QueryCost | None

    @property
    def is_good(self) -> bool:
        """Whether the targets are met."""
        pairs = ((self.p50_ms, self.target_p50_ms), (self.p95_ms, self.target_p95_ms))
        return all(target is None or value <= target for value, target in pairs)


Request = Callable[[httpx2.Client, int], int]


@dataclass(frozen=True)
class Case:
    """A kind of request and what it may take."""

    name: str
    request: Request
    num_requests: int = 30
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True)
class Serving:
    """A client of the API, and the processes that work for it."""

    http: httpx2.Client
    api: psutil.Process
    trino: psutil.Process


def _cpu_ms(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system) * 1000


def measure(serving: Serving, case: Case, profile: TrinoProfile) -> Times:
    """Time the requests of a case, one after the other."""
    http = serving.http
    first_ms = _timed(http, case, 0)[0]
    for number in range(1, WARM_UP):
        case.request(http, number)
    cpu_before_ms = _cpu_ms(serving.trino), _cpu_ms(serving.api)
    times, num_bytes = [], 0
    for number in range(case.num_requests):
        if number == max(0, case.num_requests - NUM_PROFILED):
            profile.start()
        took_ms, num_bytes = _timed(http, case, number)
        times.append(took_ms)
    ordered = sorted(times)
    return Times(
        name=case.name,
        num_requests=case.num_requests,
        first_ms=first_ms,
        p50_ms=statistics.median(times),
        p95_ms=ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)],
        max_ms=ordered[-1],
        num_bytes=num_bytes,
        trino_cpu_ms=(_cpu_ms(serving.trino) - cpu_before_ms[0]) / case.num_requests,
        api_cpu_ms=(_cpu_ms(serving.api) - cpu_before_ms[1]) / case.num_requests,
        load_average=os.getloadavg()[0],
        target_p50_ms=case.p50_ms,
        target_p95_ms=case.p95_ms,
        trino=profile.stop(min(NUM_PROFILED, case.num_requests)),
    )


def _timed(http: httpx2.Client, case: Case, number: int) -> tuple[float, int]:
    began_at_s = time.perf_counter()
    num_bytes = case.request(http, number)
    return (time.perf_counter() - began_at_s) * 1000, num_bytes


def _get(path: str, **query: str) -> Request:
    def request(http: httpx2.Client, number: int) -> int:
        answer = http.get(path, params={name: value.format(number=number % 12) for name, value in query.items()})
        answer.raise_for_status()
        return int(answer.num_bytes_downloaded)

    return request


def _next_page(http: httpx2.Client, number: int) -> int:
    cursor = http.get("/v1/traces", params={"limit": 10 + number % 12}).raise_for_status().json()["next_cursor"]
    return int(http.get("/v1/traces", params={"cursor": cursor}).raise_for_status().num_bytes_downloaded)


def _dashboard(http: httpx2.Client, number: int) -> int:
    """What an agent's page asks for, at once."""
    agent = f"/v1/agents/agent-{number % NUM_AGENTS}"
    paths = (f"{agent}/metrics", f"{agent}/trends?bucket=hour", f"/v1/traces?agent_id=agent-{number % 12}&limit=20")
    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(http.get, paths))
    for answer in answers:
        answer.raise_for_status()
    return sum(int(answer.num_bytes_downloaded) for answer in answers)


CASES: tuple[Case, ...] = (
    Case("trace list, 90 days, newest 50", _get("/v1/traces"), 60, 300, 1000),
    Case("trace list, one agent", _get("/v1/traces", agent_id="agent-{number}"), 30, 300, 1000),
    Case("trace list, dearest first", _get("/v1/traces", sort="-cost_usd"), 30, 300, 1000),
    Case("trace list, a page and the next", _next_page),
    Case("trace list, by tool", _get("/v1/traces", tool="tool_{number}"), 10),
    Case("trace list, by text", _get("/v1/traces", text="no such file"), 10),
    Case("skeleton, 50k spans", _get(f"/v1/traces/{LARGE_TRACE}/skeleton"), 30, 700),
    Case("timeline, 50k spans", _get(f"/v1/traces/{LARGE_TRACE}/timeline"), 10),
    Case("agent dashboard", _dashboard, 30, 1000),
    Case("agents, 7 days", _get("/v1/agents"), 30, 1000),
    Case("sessions, 30 days", _get("/v1/sessions"), 10),
    Case("usage by day, 30 days", _get("/v1/usage", by="day"), 10),
    Case("usage by model, 30 days", _get("/v1/usage", by="model"), 10),
)


def _serve(settings: ApiSettings, listener: socket.socket) -> None:
    uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None, access_log=False)).run(sockets=[listener])


@contextmanager
def serve(settings: ApiSettings) -> Iterator[Serving]:
    """Run the API in a process of its own, with a client that holds a read key of the tenant."""
    database = make_engine(settings)
    migrate(database)
    key = create_key(database, read_pepper(settings.key_pepper_file), tenant_id=TENANT, agent_id=None, scope="read").key
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = "http://{}:{}".format(*listener.getsockname())
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=(settings, listener))
        process.start()
        headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"}
        try:
            with httpx2.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as http:
                _wait_until_ready(http)
                yield Serving(http, psutil.Process(process.pid), _listener(settings.port("trino")))
        finally:
            process.terminate()
            process.join(20)


def _listener(port: int) -> psutil.Process:
    """Return the process that listens on a port."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise RuntimeError(f"nobody listens on port {port}")


def _wait_until_ready(http: httpx2.Client) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the API was not ready within {READY_WITHIN_S:.0f} s")


def settle(settings: LakeSettings, ledger: dict[str, Any]) -> list[str]:
    """Compare the views, and the tables below them, with what was written; return what differs, in words."""
    cursor = connect(settings, OPERATOR, request_timeout_s=120).cursor()

    def by_tenant(sql: str) -> dict[str, list[Any]]:
        return {row[0]: list(row[1:]) for row in cursor.execute(sql).fetchall()}

    traces = by_tenant("SELECT tenant_id, count(*), sum(num_spans), sum(cost_usd) FROM traces GROUP BY 1")
    spans = by_tenant("SELECT tenant_id, count(*), sum(cost_usd) FROM spans GROUP BY 1")
    rows = {
        table: by_tenant(f"SELECT tenant_id, count(*) FROM {settings.silver_namespace}.{table} GROUP BY 1")
        for table in ("traces", "spans")
    }
    differs = []
    for tenant_id, written in ledger["tenants"].items():
        num_spans, cost_usd = written["num_spans"], Decimal(written["cost_usd"])
        pairs = {
            "traces": (traces.get(tenant_id), [written["num_traces"], num_spans, cost_usd]),
            "spans": (spans.get(tenant_id), [num_spans, cost_usd]),
            "rows of traces": (rows["traces"].get(tenant_id), [written["trace_rows"]]),
            "rows of spans": (rows["spans"].get(tenant_id), [written["span_rows"]]),
        }
        differs += [
            f"{tenant_id}: {what}: {found} for {wanted}" for what, (found, wanted) in pairs.items() if found != wanted
        ]
    return differs


@contextmanager
def lake_stack() -> Iterator[dict[str, str]]:
    """Start what the API needs, with the lake of the last time, and stop it; a stack that is named is used as it is."""
    reused = os.environ.get("CLAWTRACE_TEST_HOME")
    base = os.environ.get("CLAWTRACE_TEST_PORT_BASE", str(PORT_BASE))
    home = Path(reused) if reused else ROOT / FOLDER
    environment = {**os.environ, "CLAWTRACE_HOME": str(home), "CLAWTRACE_PORT_BASE": base}
    if reused:
        yield environment
        return
    write_stack_config(home)
    started = run_clawtrace("up", "--only", PARTS, environment=environment)
    if started.returncode != 0:
        raise RuntimeError(f"the stack did not start:\n{started.stdout}\n{started.stderr}")
    try:
        yield environment
    finally:
        run_clawtrace("down", environment=environment)


def print_times(console: Console, found: list[Times]) -> None:
    """Print the times, and where Trino spent them."""
    cores, gigabytes = psutil.cpu_count(), psutil.virtual_memory().total / 2**30
    table = Table(title=f"{cores} cores, {gigabytes:.0f} GiB; milliseconds of whole requests")
    for column in ("request", "n", "first", "p50", "p95", "max", "KB", "CPU Trino", "CPU API", "target", "load"):
        table.add_column(column, justify="left" if column == "request" else "right")
    for times in found:
        targets = f"{times.target_p50_ms or '–'} / {times.target_p95_ms or '–'}"
        values = (times.first_ms, times.p50_ms, times.p95_ms, times.max_ms, times.num_bytes / 1000)
        cpu = (f"{value:,.0f}" for value in (times.trino_cpu_ms, times.api_cpu_ms))
        texts = (f"{value:,.0f}" for value in values)
        style = "" if times.is_good else "red"
        load = f"{times.load_average:.1f}"
        table.add_row(times.name, str(times.num_requests), *texts, *cpu, targets, load, style=style)
    console.print(table)
    profile = Table(title="Where Trino's time goes: medians of its queries, milliseconds")
    for column in ("request", "queries", "queued", "planning", "elapsed", "CPU", "MB read", "rows read", "splits"):
        profile.add_column(column, justify="left" if column == "request" else "right")
    for times in found:
        if (cost := times.trino) is not None:
            values = (cost.queued_ms, cost.planning_ms, cost.elapsed_ms, cost.cpu_ms)
            texts = (f"{value:,.0f}" for value in values)
            read = (f"{cost.num_bytes_read / 1e6:.1f}", f"{cost.num_rows_read:,}", str(cost.num_splits))
            profile.add_row(times.name, f"{cost.num_queries:.1f}", *texts, *read)
    console.print(profile)


def main() -> int:
    """Measure everything; 0 when all targets are met and the ledger balances."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=1_000_000)
    arguments.add_argument("--requests", type=int, default=0, help="Of each kind, instead of the usual number.")
    arguments.add_argument("--only", default="", help="Measure the requests with this text in their name.")
    wanted = arguments.parse_args()
    console = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH)
    with lake_stack() as environment:
        place = {"home": Path(environment["CLAWTRACE_HOME"]), "port_base": int(environment["CLAWTRACE_PORT_BASE"])}
        settings = ApiSettings(api_requests_per_s=10_000, api_request_burst=100_000, **place)
        lake = LakeSettings(**place)
        with console.status(f"filling the lake with {wanted.spans:,} spans, once …"):
            ledger = fill_once(lake, wanted.spans)
        differs = settle(lake, ledger)
        found = []
        with serve(settings) as serving, TrinoProfile(settings, TENANT) as profile:
            for case in CASES:
                if wanted.only in case.name:
                    with console.status(case.name):
                        found.append(
                            measure(serving, replace(case, num_requests=wanted.requests or case.num_requests), profile)
                        )
                    cpu = f"{found[-1].trino_cpu_ms:,.0f} + {found[-1].api_cpu_ms:,.0f}"
                    console.print(f"{case.name}: p50 {found[-1].p50_ms:,.0f} ms, CPU of Trino and API {cpu} ms")
    print_times(console, found)
    num_spans = sum(written["num_spans"] for written in ledger["tenants"].values())
    console.print(f"Ledger: {num_spans:,} spans written: {'; '.join(differs) or 'the views hold the same'}")
    print(json.dumps({"times": [asdict(times) for times in found], "num_spans": num_spans, "differs": differs}))
    return 0 if all(times.is_good for times in found) and not differs else 1


if __name__ == "__main__":
    sys.exit(main())
