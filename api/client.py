"""Asks the HTTP API, for commands of people.

Upstream: the address of the API and a read key.
Downstream: api/people.py.
Guarantee: what went wrong leaves as ApiError, in the words of the problem document, with the exit code that says
whose fault it was: 1 the API is away, 2 the question.
"""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from infra.runtime.settings import StackSettings

EXIT_AWAY = 1
EXIT_QUESTION = 2
_TIMEOUT_S = 60.0


class ApiError(Exception):
    """No answer, or one that is no success."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


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
        return self._send("GET", path, params={name: value for name, value in query.items() if value is not None})

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """PUT a document.

        Raises:
            ApiError: see there.
        """
        return self._send("PUT", path, json=body)

    def download(self, path: str, body: dict[str, Any], **query: Any) -> tuple[bytes, httpx2.Headers]:
        """POST a document; return the answer as it is, and its headers.

        Raises:
            ApiError: see there.
        """
        answer = self._request("POST", path, json=body, params=query, headers={"Accept": "*/*"})
        return answer.content, answer.headers

    def _send(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return _document(self._request(method, path, **arguments))

    def _request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx2.HTTPError as error:
            raise ApiError(
                f"The API at {self._url} does not answer ({type(error).__name__}). Is the stack up? clawtrace status",
                EXIT_AWAY,
            ) from error
        if answer.is_success:
            return answer
        document = _document(answer)
        message = str(document.get("detail") or f"the API answered {answer.status_code}")
        is_away = answer.status_code >= 500 or answer.status_code == 429
        raise ApiError(message, EXIT_AWAY if is_away else EXIT_QUESTION)


def _document(answer: httpx2.Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = answer.json()
    except ValueError:
        document = {}
    return document
