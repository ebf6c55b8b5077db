"""How much each client may take in a time: a bucket that fills at a rate, up to a burst.

Upstream: whoever lets requests in: the gateway by tenant, the API by key.
Downstream: nothing.
Guarantee: over any time a client that asks first and spends then gets no more than burst + rate x time, plus the one
piece that was larger than what was left: that is owed, and nothing more goes before it is paid. Buckets are forgotten
when they are full again, so memory stays bounded by the clients of the last seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_BUCKETS: Final = 50_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen_at_s: float


class TokenBuckets:
    """Buckets by client: ``burst`` at once, ``per_s`` more each second."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def wait_s(self, client: bytes) -> float:
        """Return 0 when something may be taken, or the seconds until it may."""
        bucket = self._buckets.get(client)
        if bucket is None:
            return 0.0
        tokens = self._tokens(bucket, self._clock())
        return 0.0 if tokens >= 1 else (1 - tokens) / self._per_s

    def spend(self, client: bytes, amount: float) -> None:
        """Take an amount, whether it is there or not: what is missing is owed."""
        now_s = self._clock()
        bucket = self._buckets.pop(client, None)
        tokens = self._burst if bucket is None else self._tokens(bucket, now_s)
        self._buckets[client] = _Bucket(tokens - amount, now_s)
        self._forget(now_s)

    def take(self, client: bytes) -> float:
        """Take one; return 0, or the seconds until there is one."""
        if (wait_s := self.wait_s(client)) == 0:
            self.spend(client, 1)
        return wait_s

    def __len__(self) -> int:
        return len(self._buckets)

    def _tokens(self, bucket: _Bucket, now_s: float) -> float:
        return min(self._burst, bucket.tokens + (now_s - bucket.seen_at_s) * self._per_s)

    def _forget(self, now_s: float) -> None:
        """Drop the clients that took something longest ago and are full again, and any beyond what memory may hold."""
        while self._buckets:
            client, bucket = next(iter(self._buckets.items()))
            if self._tokens(bucket, now_s) < self._burst and len(self._buckets) <= MAX_BUCKETS:
                return
            del self._buckets[client]
