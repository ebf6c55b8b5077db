"""Asks the HTTP API, for commands of people.

Upstream: the address of the API and a read key.
Downstream: api/people.py, api/console.
Guarantee: what went wrong leaves as ApiError, in the words of the problem document, with the exit code that says
whose fault it was: 1 the API is away, 2 the question.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from infra.runtime.settings import StackSettings

EXIT_AWAY = 1
EXIT_QUESTION = 2
_AT_FAULT = frozenset({"unauthorized", "forbidden", "invalid", "not-found"})
_TIMEOUT_S = 60.0
# The API says something at least every ten seconds on every stream; three times that is silence.
_STREAM_SILENCE_S = 30.0


class ApiError(Exception):
    """No answer, or one that is no success. ``status`` is that of the answer; 0 when there was none."""

    def __init__(self, message: str, exit_code: int, *, status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.exit_code, self.status, self.retry_after_s = exit_code, status, retry_after_s


def exit_code_of(code: str) -> int:
    """Whose fault it was when a stream ended with an error of this code."""
    return EXIT_QUESTION if code in _AT_FAULT else EXIT_AWAY


@dataclass(frozen=True, slots=True)
class Door:
    """Where the API is and with which key to ask."""

    url: str
    key: str


def find_door(url: str, key: str) -> Door:
    """Fill in what was not given: the local API, and the key of the demo when there was one.

    Raises:
        ApiError: there is no key.
    """
    settings = StackSettings()
    if not key:
        kept = settings.secrets_folder / "demo-keys.json"
        if not kept.exists():
            raise ApiError(
                "No key: set CLAWTRACE_READ_KEY, or give --key. "
                "clawtrace keys create --tenant … --scope read makes one.",
                EXIT_QUESTION,
            )
        key = json.loads(kept.read_text())["read"]
    return Door((url or settings.api_url).rstrip("/"), key)


class ApiClient:
    """One connection to the API."""

    def __init__(self, door: Door) -> None:
        headers = {"Authorization": f"Bearer {door.key}", "Accept": "application/json"}
        self._http = httpx2.Client(base_url=door.url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        self._url = door.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET a document; parameters that are None are left out.

        Raises:
            ApiError: see there.
        """
        return self._send("GET", path, query)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PUT a document.

        Raises:
            ApiError: see there.
        """
        return self._send("PUT", path, {}, json=body)

    def post(self, path: str, body: dict[str, Any], **query: Any) -> dict[str, Any]:
        """POST a document; parameters that are None are left out.

        Raises:
            ApiError: see there.
        """
        return self._send("POST", path, query, json=body)

    def sql(self, text: str) -> list[dict[str, Any]]:
        """Ask in SQL; return rows as dictionaries.

        Raises:
            ApiError: see there.
        """
        found = self.post("/v1/sql", {"sql": text})
        names = [column["name"] for column in found["columns"]]
        return [dict(zip(names, row, strict=True)) for row in found["rows"]]

    @contextmanager
    def stream(
        self, path: str, *, body: dict[str, Any] | None = None, last_event_id: str = "", **query: Any
    ) -> Iterator[Iterator[httpx2.ServerSentEvent]]:
        """Open a stream of server-sent events: GET, or POST of ``body``.

        Raises:
            ApiError: it was refused, or broke off, also while it is read.
        """
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        arguments: dict[str, Any] = {"headers": headers, "timeout": httpx2.Timeout(_TIMEOUT_S, read=_STREAM_SILENCE_S)}
        if body is not None:
            arguments["json"] = body
        wanted = {name: value for name, value in query.items() if value not in (None, [])}
        try:
            method = "GET" if body is None else "POST"
            with self._http.sse(path, method=method, params=wanted, **arguments) as source:
                if not source.response.is_success:
                    source.response.read()
                    raise _refusal(source.response)
                yield iter(source)
        except httpx2.HTTPError as error:
            raise self._away(error) from error

    def post_stream(self, path: str, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """POST a document; give the events of the answer as they come, by name, with their data.

        Raises:
            ApiError: see ``stream``.
        """
        with self.stream(path, body=body) as events:
            for event in events:
                # A block without data only keeps the connection open.
                if event.data:
                    yield event.event, json.loads(event.data)

    def download(self, path: str, body: dict[str, Any], **query: Any) -> tuple[bytes, httpx2.Headers]:
        """POST a document; return the answer as it is, and its headers.

        Raises:
            ApiError: see there.
        """
        answer = self._request("POST", path, json=body, params=query, headers={"Accept": "*/*"})
        return answer.content, answer.headers

    def _send(self, method: str, path: str, query: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        wanted = {name: value for name, value in query.items() if value is not None}
        return _document(self._request(method, path, params=wanted, **arguments))

    def _request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx2.HTTPError as error:
            raise self._away(error) from error
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    def _away(self, error: httpx2.HTTPError) -> ApiError:
        return ApiError(
            f"The API at {self._url} does not answer ({type(error).__name__}). Is the stack up? clawtrace status",
            EXIT_AWAY,
        )


def _document(answer: httpx2.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: httpx2.Response) -> ApiError:
    status = answer.status_code
    message = str(_document(answer).get("detail") or f"the API answered {status}")
    waits = answer.headers.get("retry-after", "")
    return ApiError(
        message,
        EXIT_AWAY if status >= 500 or status == 429 else EXIT_QUESTION,
        status=status,
        retry_after_s=float(waits) if waits.isdigit() else 0.0,
    )
