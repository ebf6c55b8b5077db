"""Metrics and health of a process, over HTTP on loopback.

Upstream: each process defines its metrics in its stage's ``metrics.py`` and says what keeps it from being ready.
Downstream: Prometheus, the supervisor's health checks, ``clawtrace status``.
Guarantee: /healthz answers while the process lives; /readyz is 200 only when nothing is missing, else 503 with reasons.
"""

import json
import shutil
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, disable_created_metrics, generate_latest

from infra.runtime.settings import LOOPBACK

_log = structlog.get_logger(__name__)

Readiness = Callable[[], list[str]]

# A second series for each counter, which says when it was made: nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # no types in the library

# What bounds the values of each label, so that the number of series has a limit. There is no other label, and never a
# tenant, an agent, a session, a trace or a key.
LABELS: Final = {
    "bucket": "the kinds of tokens that a model bills",
    "code": "the codes of the problems and refusals in the code",
    "dependency": "postgres, trino, kafka",
    "file": "prices, rules",
    "kind": "a closed set of words in the code, such as the kinds of alert channels",
    "method": "the methods that the HTTP parser knows",
    "outcome": "a closed set of words in the code",
    "procedure": "the procedures of upkeep",
    "process": "the name of the process",
    "route": "the path templates of the API, or none; never a path",
    "rule": "the names of the alert rules",
    "state": "ok, warn, alert, no_data",
    "status": "HTTP status codes; of figures: checked, updated, withheld",
    "table": "the tables of the lake",
    "told_as": "change, repeat, ack",
    "topic": "the topics of the contracts",
    "version": "the version that runs: one for each process",
    "way": "stream, poll",
    "what": "a closed set of words in the core",
}

# Gauge. 1, so that every process can be found under its name, whatever its address is called.
BUILD: Final = Gauge("clawtrace_runtime_build_info", "1, with name and version of the process.", ["process", "version"])
# Gauge. As on /readyz, at the time of the scrape.
MISSING: Final = Gauge("clawtrace_runtime_missing_conditions", "What keeps the process from being ready; 0 when it is.")
# Gauge. As of the last look; /metrics of gateway and api looks at each scrape.
DEPENDENCY_UP: Final = Gauge(
    "clawtrace_runtime_dependency_up", "1 while a service answered the last look, else 0.", ["dependency"]
)
# Gauges. Of the file system that holds the home folder.
DISK_FREE_BYTES: Final = Gauge("clawtrace_runtime_disk_free_bytes", "Bytes free where the home folder is.")
DISK_SIZE_BYTES: Final = Gauge("clawtrace_runtime_disk_size_bytes", "Size of the file system of the home folder.")
# Counter. Looks of an access key, by outcome: hit (cache), loaded (database), grace (database away, known key kept
# working), rejected, unavailable.
KEY_LOOKUPS: Final = Counter(
    "clawtrace_runtime_key_lookups_total", "Looks of access keys in gateway and api.", ["outcome"]
)


def describe_process(process: str, home: Path) -> None:
    """Let the metrics of this process say its name and version, and how full the disk of ``home`` is."""
    BUILD.labels(process, version("clawtrace")).set(1)
    # The folder may be made later, and a scrape must not fail for it.
    there = next(folder for folder in (home, *home.parents) if folder.is_dir())
    DISK_FREE_BYTES.set_function(lambda: shutil.disk_usage(there).free)
    DISK_SIZE_BYTES.set_function(lambda: shutil.disk_usage(there).total)


def note_dependency(name: Literal["postgres", "trino", "kafka"], *, is_up: bool) -> None:
    """Remember whether a service answered."""
    DEPENDENCY_UP.labels(name).set(is_up)


def render_metrics(missing: list[str]) -> tuple[bytes, str]:
    """Return the body and content type of /metrics; ``missing`` is what /readyz would say."""
    MISSING.set(len(missing))
    return generate_latest(), CONTENT_TYPE_LATEST


def readiness_body(missing: list[str]) -> dict[str, object]:
    """Return the body of /readyz."""
    return {"ready": not missing, "missing": missing}


class HealthServer:
    """The running server; ``close`` frees the port."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Port it listens on; useful when 0 was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_health(port: int, readiness: Readiness, host: str = LOOPBACK) -> HealthServer:
    """Serve /healthz, /readyz and /metrics from a thread of this process.

    ``readiness`` returns what is missing, in plain words; an empty list means ready. It is called per request,
    from another thread, and must not block for more than a second.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                body, content_type = render_metrics(_ask(readiness))
                self._answer(200, body, content_type)
            elif path == "/healthz":
                self._answer_json(200, {"ok": True})
            elif path == "/readyz":
                missing = _ask(readiness)
                self._answer_json(503 if missing else 200, readiness_body(missing))
            else:
                self._answer_json(404, {"paths": ["/healthz", "/readyz", "/metrics"]})

        def _answer_json(self, status: int, body: dict[str, object]) -> None:
            self._answer(status, json.dumps(body).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet: a probe every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return HealthServer(server)


def _ask(readiness: Readiness) -> list[str]:
    try:
        return readiness()
    except Exception as error:
        _log.warning("readiness_check_failed", exc_info=error)
        return [f"the readiness check itself failed: {type(error).__name__}"]
