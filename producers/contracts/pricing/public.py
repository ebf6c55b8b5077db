"""Prices of the public list, ``genai_prices``, as it was installed.

Upstream: the package's own data; it is never refreshed over the network.
Downstream: ``producers.contracts.pricing.book``.
Guarantee: dated and, where a provider charges by the hour of the day, timed; what the list does not know is None.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final

import genai_prices.data_snapshot
from genai_prices.types import ConditionalPrice, TimeOfDateConstraint

from producers.contracts.pricing.price import Price, Rate, make_price

PUBLIC_LIST: Final = f"genai-prices:{version('genai-prices')}"


class PublicModel:
    """One entry of the list; ``is_timed`` when it costs more at some hours than at others."""

    def __init__(self, provider_id: str, info: Any) -> None:
        self.price_id = f"{PUBLIC_LIST}:{provider_id}/{info.id}"
        self._info = info
        conditions = info.prices if isinstance(info.prices, list) else []
        self.is_timed = any(
            isinstance(it, ConditionalPrice) and isinstance(it.constraint, TimeOfDateConstraint) for it in conditions
        )

    def price_at(self, at_us: int) -> Price | None:
        """Return the price at an instant, or None for what is not sold by the token."""
        prices = self._info.get_prices(datetime.fromtimestamp(at_us // 1_000_000, tz=UTC))
        fresh, output = _rate(prices.input_mtok), _rate(prices.output_mtok)
        if fresh is None or output is None:
            return None
        # The list counts cached tokens within the input and prices apart those it names; our buckets do not overlap,
        # so each is multiplied by itself.
        return make_price(
            self.price_id,
            self._info.id,
            fresh=fresh,
            output=output,
            cache_read=_rate(prices.cache_read_mtok),
            cache_write=_rate(prices.cache_write_mtok),
            cache_write_1h=_rate(prices.cache_write_1h_mtok),
        )


def find_public(provider: str, model: str) -> PublicModel | None:
    """Return the entry for the list's own name of a provider and a model's name, or None."""
    snapshot = genai_prices.data_snapshot.get_snapshot()
    try:
        found, info = snapshot.find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return PublicModel(found.id, info)


def public_models(provider: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (provider, model) of all entries, or of one provider's."""
    for listed in genai_prices.data_snapshot.get_snapshot().providers:
        if provider in (None, listed.id):
            for info in listed.models:
                yield listed.id, info.id


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return Rate(price)
    return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers))
