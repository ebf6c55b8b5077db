"""Goes on with a live stream over any number of connections.

Upstream: ``GET /v1/live``.
Downstream: api/console/tail.py.
Guarantee: each event is given once and none is left out, as long as the topics reach back: the next connection says
which event was the last. Only what waiting cannot mend ends it: a key that no longer opens, a question at fault, an API
that did not answer at the very first try.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx2

from api.client import EXIT_AWAY, ApiClient, ApiError

LIVE_PATH: Final = "/v1/live"
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 15.0


class Follower:
    """One reader. ``last_id`` is the id of the last event that it has: whoever comes later goes on from there."""

    def __init__(
        self,
        api: ApiClient,
        query: dict[str, Any],
        *,
        last_id: str = "",
        say: Callable[[str], None],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.last_id = last_id
        self._api, self._query, self._say, self._wait = api, query, say, wait
        self._retry_s = _FIRST_WAIT_S
        self._was_connected = False
        self._num_failures = 0

    def events(self) -> Iterator[httpx2.ServerSentEvent]:
        """Give events for ever.

        Raises:
            ApiError: waiting would not help.
        """
        while True:
            try:
                yield from self._connection()
                wait_s = self._retry_s
            except ApiError as error:
                if error.exit_code != EXIT_AWAY or not self._was_connected:
                    raise
                if not self._num_failures:
                    self._say(f"The connection is lost; trying again. {error}")
                doubled_s = self._retry_s * 2.0 ** min(self._num_failures, 10)
                wait_s = max(min(doubled_s, _LONGEST_WAIT_S), error.retry_after_s)
                self._num_failures += 1
            self._wait(wait_s)

    def _connection(self) -> Iterator[httpx2.ServerSentEvent]:
        with self._api.stream(LIVE_PATH, last_event_id=self.last_id, **self._query) as events:
            for event in events:
                if self._num_failures:
                    self._say("Connected again; nothing is left out unless a line says so.")
                self._was_connected, self._num_failures = True, 0
                # Blocks without data move the id on as well.
                self.last_id = event.id or self.last_id
                if event.retry is not None:
                    self._retry_s = event.retry / 1000
                if event.data:
                    yield event
