"""Prices of models, as the guards of agents need them: our own list, and what the public list says of the models
that OpenClaw's agents use most.

Upstream: ``<home>/config/prices.toml``, the file the stitcher reads too; ``producers.contracts.pricing``.
Downstream: the gateway's guard state.
Guarantee: a model of our own list is priced as the stitcher prices it; a broken file never stops the gateway: the
last good list stays in force, with an error in the log and a metric until the file is right again.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Final

import structlog

from producers.contracts.guard import GuardPrice, GuardPriceTier
from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.pricing.names import listed_provider
from producers.contracts.pricing.overrides import ANY_MODEL
from producers.contracts.pricing.price import Price
from producers.metrics import GUARD_PRICES_BROKEN

_log = structlog.get_logger(__name__)

# OpenClaw's names of the makers whose models a guard knows without a price file. Not every entry of the list: the
# whole state is sent at each change, and a guard falls back to OpenClaw's own estimate.
GUARDED_PROVIDERS: Final = (
    "anthropic",
    "deepseek",
    "google",
    "minimax",
    "mistral",
    "moonshot",
    "openai",
    "xai",
    "zai",
)
_NO_CHAT: Final = (
    "audio", "davinci", "embed", "image", "live", "moderation", "ocr", "realtime", "search", "transcri", "tts",
    "voice", "voxtral", "whisper",
)  # fmt: skip
# Lists of tenants and days that are kept made.
_MAX_MADE: Final = 256


class PriceList:
    """The file and its last good content; ``refresh`` it from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._book = PriceBook()
        self._made: dict[tuple[str, date], list[GuardPrice]] = {}
        self.changed_at_us = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read the file when it is another than last time; return whether the list changed."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return False
            text = self._path.read_text()
        except FileNotFoundError:
            GUARD_PRICES_BROKEN.set(0)
            if self._seen is None:
                return False
            self._seen = None
            self._take(PriceBook())
            return True
        except OSError as error:
            self._refuse(error)
            return False
        self._seen = seen
        try:
            book = PriceBook.from_toml(text)
        except ValueError as error:
            self._refuse(error)
            return False
        GUARD_PRICES_BROKEN.set(0)
        self._take(book)
        self.changed_at_us = status.st_mtime_ns // 1000
        return True

    def of_tenant(self, tenant_id: str, on: date | None = None) -> list[GuardPrice]:
        """Return the prices that hold for a tenant on a day (default: today), by the stitcher's own choice."""
        day = on or datetime.now(UTC).date()
        key = (tenant_id, day)
        if key not in self._made:
            if len(self._made) >= _MAX_MADE:
                self._made.clear()
            self._made[key] = list(self._make(tenant_id, day))
        return self._made[key]

    def _make(self, tenant_id: str, day: date) -> Iterator[GuardPrice]:
        at_us = noon_us(day)
        own = {row.key: (row.provider, row.model) for row in self._book.overrides if row.model != ANY_MODEL}
        for _, (provider, model) in sorted((_listed_models() | own).items()):
            price = self._book.find_price(tenant_id, provider, model, at_us)
            if price is not None:
                yield _guard_price(provider, model, price)

    def _take(self, book: PriceBook) -> None:
        self._book, self._made = book, {}

    def _refuse(self, error: Exception) -> None:
        GUARD_PRICES_BROKEN.set(1)
        _log.error("prices_broken", file=str(self._path), error=str(error), in_force="the last good version")


@cache
def _listed_models() -> dict[tuple[str, str], tuple[str, str]]:
    """OpenClaw's provider and model of every chat model of the makers above, by the same in small letters."""
    book = PriceBook()
    return {
        (provider, model.lower()): (provider, model)
        for provider in GUARDED_PROVIDERS
        for _, model in book.models(listed_provider(provider))
        if not any(word in model.lower() for word in _NO_CHAT)
    }


def _guard_price(provider: str, model: str, price: Price) -> GuardPrice:
    return GuardPrice(
        provider=provider,
        model=model,
        input_usd_per_mtok=price.fresh.usd_per_mtok,
        output_usd_per_mtok=price.output.usd_per_mtok,
        cache_read_usd_per_mtok=price.cache_read.usd_per_mtok,
        cache_write_usd_per_mtok=price.cache_write.usd_per_mtok,
        # Most cost the same: left out, since the whole list goes over the wire.
        cache_write_1h_usd_per_mtok=None
        if price.cache_write_1h == price.cache_write
        else price.cache_write_1h.usd_per_mtok,
        tiers=_tiers(price),
    )


def _tiers(price: Price) -> list[GuardPriceTier]:
    rates = (price.fresh, price.cache_read, price.cache_write, price.cache_write_1h, price.output)
    return [
        GuardPriceTier(
            above_prompt_tokens=above,
            input_usd_per_mtok=price.fresh.at(above + 1),
            output_usd_per_mtok=price.output.at(above + 1),
            cache_read_usd_per_mtok=price.cache_read.at(above + 1),
            cache_write_usd_per_mtok=price.cache_write.at(above + 1),
            cache_write_1h_usd_per_mtok=price.cache_write_1h.at(above + 1),
        )
        for above in sorted({above for rate in rates for above, _ in rate.tiers})
    ]
