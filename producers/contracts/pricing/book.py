"""Finds the price that held at an instant: our own list, then the local and the free, then what we bring, then the
public list.

Upstream: a price file; ``built_in.toml``; ``genai_prices``.
Downstream: the stitcher, the gateway's guard prices, ``clawtrace prices``.
Guarantee: pure; what has no price is None, never 0; what is free has a price, with an id that says why.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from producers.contracts.event import filed_at_us
from producers.contracts.pricing.names import is_free, is_local, listed_names
from producers.contracts.pricing.overrides import ANY_MODEL, PriceOverride, choose, parse_overrides
from producers.contracts.pricing.price import FREE, Price, make_price
from producers.contracts.pricing.public import PublicModel, find_public, public_models

_DAY_US: Final = 86_400_000_000
# Prices that depend on the hour change on the hour or half past it.
_SLOTS_PER_DAY: Final = 48
_SLOT_US: Final = _DAY_US // _SLOTS_PER_DAY
_EPOCH: Final = date(1970, 1, 1)


def _by_model(rows: Iterable[PriceOverride]) -> dict[tuple[str, str], list[PriceOverride]]:
    found: dict[tuple[str, str], list[PriceOverride]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


BUILT_IN: Final = tuple(parse_overrides((Path(__file__).parent / "built_in.toml").read_text()))
_BUILT_IN: Final = _by_model(BUILT_IN)


class PriceBook:
    """Finds prices; each (tenant, provider, model, day) is looked up once, and each half hour where that matters."""

    def __init__(self, overrides: list[PriceOverride] | None = None) -> None:
        self.overrides = tuple(overrides or ())
        self._own = _by_model(self.overrides)
        self._find = lru_cache(maxsize=8192)(self._find_in_slot)
        self._public = lru_cache(maxsize=8192)(_find_public_entry)

    @classmethod
    def from_toml(cls, text: str) -> "PriceBook":
        """Read our own list: ``[[price]]`` tables as in PriceOverride.

        Raises:
            ValueError: not TOML, or not such tables; the text names the row and the field.
        """
        return cls(parse_overrides(text))

    def find_price(self, tenant_id: str, provider: str, model: str, at_us: int) -> Price | None:
        """Return the price that held at an instant (UTC microseconds), or None when nobody knows one."""
        slot_us = filed_at_us(at_us) // _SLOT_US * _SLOT_US
        # Asked once a call: noon stands for the day, unless the hour matters.
        if not self._is_timed(provider, model):
            slot_us = slot_us // _DAY_US * _DAY_US + _DAY_US // 2
        return self._find(tenant_id, provider, model, slot_us)

    def _is_timed(self, provider: str, model: str) -> bool:
        entry = self._public(provider, model)
        return entry is not None and entry.is_timed

    def _find_in_slot(self, tenant_id: str, provider: str, model: str, at_us: int) -> Price | None:
        day = _EPOCH + timedelta(days=at_us // _DAY_US)
        name = provider.lower().strip()
        rows = (*self._own.get((name, model.lower().strip()), ()), *self._own.get((name, ANY_MODEL), ()))
        own = choose(rows, tenant_id, day)
        if own is not None:
            return own.price("override", model)
        if is_local(provider, model):
            return make_price(f"local:{name}", model, fresh=FREE, output=FREE)
        if is_free(provider, model):
            return make_price(f"free:{name}", model, fresh=FREE, output=FREE)
        for listed, listed_model in listed_names(provider, model):
            built_in = choose(_BUILT_IN.get((listed, listed_model), ()), tenant_id, day)
            if built_in is not None:
                return built_in.price("built-in", model)
        entry = self._public(provider, model)
        return None if entry is None else entry.price_at(at_us)

    def models(self, provider: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield (provider, model) of every entry of every list, each once; local providers have no entries."""
        seen: set[tuple[str, str]] = set()
        for row in (*self.overrides, *BUILT_IN):
            if provider in (None, row.provider.lower()) and row.key not in seen:
                seen.add(row.key)
                yield row.provider, row.model
        for listed, model in public_models(provider):
            if (listed, model.lower()) not in seen:
                seen.add((listed, model.lower()))
                yield listed, model


def _find_public_entry(provider: str, model: str) -> PublicModel | None:
    for listed, listed_model in listed_names(provider, model):
        entry = find_public(listed, listed_model) if listed and listed_model else None
        if entry is not None:
            return entry
    return None


def noon_us(day: date) -> int:
    """Return the instant at which a day's price is looked up (UTC microseconds)."""
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
