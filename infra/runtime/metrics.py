"""Metrics and health of a process, over HTTP on loopback.

Upstream: each process defines its metrics in its stage's ``metrics.py`` and says what keeps it from being ready.
Downstream: Prometheus, the supervisor's health checks, ``clawtrace status``.
Guarantee: /healthz answers while the process lives; /readyz is 200 only when nothing is missing, else 503 with reasons.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from infra.runtime.settings import LOOPBACK

_log = structlog.get_logger(__name__)

Readiness = Callable[[], list[str]]

# Counter. Looks of an access key, by outcome: hit (cache), loaded (database), grace (database away, known key kept
# working), rejected, unavailable.
KEY_LOOKUPS: Final = Counter("clawtrace_runtime_key_lookups_total", "Looks of access keys, by outcome.", ["outcome"])


def render_metrics() -> tuple[bytes, str]:
    """Return the body and content type of /metrics."""
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
                body, content_type = render_metrics()
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
