"""Where Trino's time goes while something is measured, by its own account of the queries.

Upstream: GET /v1/query of a running Trino, as the operator.
Downstream: tests/bench/api_times.py.
Guarantee: only the queries of one tenant that began after :meth:`TrinoProfile.start` count.
"""

import re
import statistics
from dataclasses import dataclass
from typing import Any, Self

import requests

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import OPERATOR, sign_token, tenant_user

# The newest are read in full; Trino forgets older ones soon (query.max-history).
_MAX_READ = 24
_MS_OF = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3, "h": 3600e3}
_BYTES_OF = {"B": 1, "kB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_QUANTITY = re.compile(r"([\d.]+)([a-zA-Z]+)")


@dataclass(frozen=True)
class QueryCost:
    """Medians over queries; ``num_queries`` is the number per request."""

    num_queries: float
    queued_ms: float
    planning_ms: float
    elapsed_ms: float
    cpu_ms: float
    num_bytes_read: int
    num_rows_read: int
    num_splits: int


def _in_units(text: str, units: dict[str, float]) -> float:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"not a quantity of Trino: {text!r}")
    return float(found[1]) * units[found[2]]


class TrinoProfile:
    """Reads what Trino says of a tenant's queries."""

    def __init__(self, settings: StackSettings, tenant_id: str) -> None:
        self._url, self._user = f"{settings.trino_url}/v1/query", tenant_user(tenant_id)
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env, self._session.verify = False, str(settings.trino_ca_file)
        self._known: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def start(self) -> None:
        """Count from here on."""
        self._known = {query["queryId"] for query in self._mine()}

    def stop(self, num_requests: int) -> QueryCost | None:
        """Say what the queries since then cost; None when there were none, or Trino has forgotten them."""
        new = [query for query in self._mine() if query["queryId"] not in self._known and query["state"] == "FINISHED"]
        if not new:
            return None
        newest = sorted(new, key=lambda query: str(query["queryStats"]["createTime"]))[-_MAX_READ:]
        stats = [self._read(f"/{query['queryId']}")["queryStats"] for query in newest]

        def middle(name: str, units: dict[str, float] | None = None) -> float:
            values = [_in_units(one[name], units) if units else float(one[name]) for one in stats]
            return statistics.median(values)

        return QueryCost(
            num_queries=len(new) / num_requests,
            queued_ms=middle("queuedTime", _MS_OF),
            planning_ms=middle("planningTime", _MS_OF),
            elapsed_ms=middle("elapsedTime", _MS_OF),
            cpu_ms=middle("totalCpuTime", _MS_OF),
            num_bytes_read=int(middle("physicalInputDataSize", _BYTES_OF)),
            num_rows_read=int(middle("physicalInputPositions")),
            num_splits=int(middle("totalDrivers")),
        )

    def _mine(self) -> list[dict[str, Any]]:
        return [query for query in self._read("") if query["session"]["user"] == self._user]

    def _read(self, path: str) -> Any:
        # A token lives for minutes, a bench for longer.
        headers = {"Authorization": f"Bearer {sign_token(self._settings, OPERATOR)}", "X-Trino-User": OPERATOR}
        answer = self._session.get(self._url + path, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json()
