"""Measure what the plugin costs an agent: the same run in turns with and without it. Prints figures and JSON.

Upstream: ``make bench-plugin``.
Downstream: two OpenClaw gateways in homes of their own, the scripted provider, a server that takes events.
Guarantee: both gateways are warm before the first pair, and who goes first changes from pair to pair; the server that
takes the events does nothing else, as one on another machine would look from here.
"""

import argparse
import asyncio
import gzip
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.openclaw.conftest import NODE, NPM
from tests.openclaw.host import HERE, OPENCLAW, PLUGIN, Host, free_port
from tests.openclaw.provider import Provider

GUARD_STATE = {"rev": 1, "policy": {"run_limit_usd": "1000", "action": "abort"}, "prices": [], "verdicts": []}


class Taker:
    """Takes every event and every blob, and tells the guard a limit that no run meets."""

    def __init__(self) -> None:
        """Choose a port."""
        self.num_events = 0
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    async def _events(self, request: Request) -> Response:
        batch = json.loads(gzip.decompress(await request.body())) if _is_gzip(request) else await request.json()
        self.num_events += len(batch["events"])
        return JSONResponse({"accepted": len(batch["events"]), "rejected": []}, status_code=202)

    async def _blob(self, request: Request) -> Response:
        await request.body()
        return JSONResponse({}, status_code=201)

    async def _guard(self, request: Request) -> Response:
        if request.query_params.get("since") == str(GUARD_STATE["rev"]):
            await asyncio.sleep(min(float(request.query_params.get("wait_s", "0")), 25))
            return Response(status_code=204)
        return JSONResponse(GUARD_STATE)

    @contextmanager
    def running(self) -> Iterator["Taker"]:
        """Serve in a thread until the block ends."""
        app = Starlette(
            routes=[
                Route("/v1/events", self._events, methods=["POST"]),
                Route("/v1/blobs/{sha256}", self._blob, methods=["PUT"]),
                Route("/v1/guard", self._guard),
            ]
        )
        config = uvicorn.Config(app, port=self._port, log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(10)


def _is_gzip(request: Request) -> bool:
    return request.headers.get("content-encoding") == "gzip"


def run_once(host: Host, tools: int, latency_s: float) -> float:
    """Send one message in a new session; seconds until the reply."""
    session = f"overhead-{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    reply = host.ask(f"[[scenario:busy tools={tools} latency={latency_s} label={session}]] Please.", session).result(
        300
    )
    took_s = time.monotonic() - began
    if "All steps are done." not in reply:
        raise RuntimeError(f"the run did not end well: {reply[:300]}\n{host.log_tail()}")
    return took_s


def measure(folder: Path, pairs: int, tools: int, latency_s: float) -> dict[str, Any]:
    """Run the pairs; the figures.

    Raises:
        RuntimeError: a run did not end well.
    """
    with Provider().running() as provider, Taker().running() as taker:
        without, using = (Host(folder / name, str(NODE), provider.url) for name in ("without", "using"))
        using.install_plugin(PLUGIN, taker.url, "key-of-the-bench")
        try:
            for host in (without, using):
                host.start_gateway()
                run_once(host, 1, 0.0)
            rows = []
            for pair in range(pairs):
                order = [("using", using), ("without", without)]
                took = {name: run_once(host, tools, latency_s) for name, host in (order if pair % 2 else order[::-1])}
                rows.append(took)
                print(f"pair {pair + 1:2}: without {took['without']:.3f} s, with {took['using']:.3f} s", flush=True)
            time.sleep(1.5)  # The plugin writes its status once a second.
            status = using.plugin_status()
        finally:
            for host in (without, using):
                host.close()
    if status["spool"]["lost"] or status["num_failures"]:
        raise RuntimeError(f"the plugin lost something: {status}")
    percents = [100 * (row["using"] / row["without"] - 1) for row in rows]
    return {
        "pairs": pairs,
        "model_calls_per_run": tools + 1,
        "model_latency_s": latency_s,
        "median_without_s": round(statistics.median(row["without"] for row in rows), 3),
        "median_with_s": round(statistics.median(row["using"] for row in rows), 3),
        "median_difference_percent": round(statistics.median(percents), 3),
        "quartiles_percent": [round(value, 3) for value in statistics.quantiles(percents, n=4)[::2]],
        "hooks": status["hooks"],
        # The runs that warm up are in it, too.
        "hook_ms_per_run": round(status["hooks"]["mean_us"] * status["hooks"]["num"] / (pairs + 1) / 1000, 2),
        "events_taken": taker.num_events,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--tools", type=int, default=5)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds the model takes for each call")
    given = parser.parse_args()
    if not OPENCLAW.exists():
        command = [str(NPM), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, check=True, cwd=HERE)
    folder = Path(tempfile.mkdtemp(prefix="clawtrace-overhead-"))
    try:
        figures = measure(folder, given.pairs, given.tools, given.latency)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    hooks = figures["hooks"]
    print(f"wall time: {figures['median_difference_percent']:+.2f} % (median of {given.pairs} pairs)")
    print(f"hooks:     p50 {hooks['p50_us']} µs, p99 {hooks['p99_us']} µs, max {hooks['max_us']} µs of {hooks['num']}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
