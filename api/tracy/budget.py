"""What one question may still use: tokens, dollars, time. (Queries are counted where they run, in tools.py.)

Upstream: TracySettings.
Downstream: api/tracy/answer.py asks before each call of the model.
Guarantee: no call is begun when what it is sure to use is no longer there; a question overshoots by one reply at most.
"""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from api.tracy.model import TokenUse, price
from api.tracy.settings import TracySettings

# Cautious: English has about four characters a token, JSON and ids three.
_CHARS_PER_TOKEN: Final = 3


class Budget:
    """The budget of one question."""

    def __init__(self, settings: TracySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._ends_at_s = clock() + settings.tracy_timeout_s
        self.use = TokenUse()

    @property
    def cost_usd(self) -> Decimal | None:
        """Dollars so far; None when the model has no known price."""
        return price(self._settings.tracy_model, self.use)

    def add(self, use: TokenUse) -> None:
        """Count a call."""
        self.use += use

    def why_no_call(self, num_chars: int) -> str | None:
        """Return why a call that sends so many characters may not begin; None when it may."""
        if self._clock() >= self._ends_at_s:
            return f"a question may take {self._settings.tracy_timeout_s:g} seconds"
        expected = TokenUse(input=num_chars // _CHARS_PER_TOKEN)
        if self.use.total + expected.total > self._settings.tracy_max_tokens:
            return f"a question may use {self._settings.tracy_max_tokens} tokens"
        cost = self.cost_usd
        if cost is not None and cost >= self._settings.tracy_max_usd:
            return f"a question may cost ${self._settings.tracy_max_usd}"
        return None
