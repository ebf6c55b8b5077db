"""What tokens cost: a dated price per provider and model, in Decimal dollars.

Upstream: token buckets of model calls; a price list of our own (TOML); the public list in ``genai_prices``.
Downstream: spans, traces, alerts.
Guarantee: pure; our own list beats the public one; what has no price costs None, never 0.
"""

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Annotated, Any

import genai_prices.data_snapshot
from pydantic import BaseModel, BeforeValidator, ConfigDict

from producers.contracts.event import filed_at_us
from producers.contracts.usage import TokenUsage

_MILLION = Decimal(1_000_000)
_PUBLIC_LIST = f"genai-prices:{version('genai-prices')}"

# OpenClaw's names for providers that the public list knows by another.
PROVIDER_ALIASES = {
    "amazon-bedrock": "aws",
    "claude-cli": "anthropic",
    "codex-cli": "openai",
    "google-antigravity": "google",
    "google-gemini-cli": "google",
    "google-vertex": "google",
    "kimi-coding": "moonshotai",
    "openai-codex": "openai",
    "xai": "x-ai",
    "z.ai": "zai",
}


def _refuse_float(value: object) -> object:
    if isinstance(value, float):
        raise ValueError('write money as text, for instance "0.30": a float is not exact')
    return value


Usd = Annotated[Decimal, BeforeValidator(_refuse_float)]


class PriceOverride(BaseModel):
    """One price of our own list, in dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str
    model: str
    input_usd_per_mtok: Usd
    output_usd_per_mtok: Usd
    cache_read_usd_per_mtok: Usd | None = None
    cache_write_usd_per_mtok: Usd | None = None
    effective_from: date | None = None
    tenant_id: str | None = None


class _OverrideFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price: list[PriceOverride] = []


# One bucket: base price, then (prompt tokens above which another price holds, that price), ascending.
_Bucket = tuple[Decimal, tuple[tuple[int, Decimal], ...]]


class Price:
    """The resolved price of one model on one day."""

    def __init__(self, price_id: str, *, fresh: _Bucket, output: _Bucket, cache_read: _Bucket, cache_write: _Bucket):
        self.price_id = price_id
        self._buckets = (fresh, cache_read, cache_write, output)

    def cost_usd(self, usage: TokenUsage) -> Decimal:
        """Cost of a call; a tier counts for all its tokens, by the length of the whole prompt."""
        prompt_tokens = usage.prompt_tokens
        fresh, read, write, output = (_unit_price(bucket, prompt_tokens) for bucket in self._buckets)
        return (
            fresh * usage.input_tokens
            + read * usage.cache_read_tokens
            + write * usage.cache_write_tokens
            + output * usage.output_tokens
        ) / _MILLION


class PriceBook:
    """Finds prices; each (tenant, provider, model, day) is looked up once."""

    def __init__(self, overrides: list[PriceOverride] | None = None) -> None:
        self._overrides: dict[tuple[str, str], list[PriceOverride]] = {}
        for override in overrides or []:
            key = (override.provider.lower(), override.model.lower())
            self._overrides.setdefault(key, []).append(override)
        self._find = lru_cache(maxsize=4096)(self._find_on_day)

    @classmethod
    def from_toml(cls, text: str) -> "PriceBook":
        """Read our own list: ``[[price]]`` tables as in PriceOverride.

        Raises:
            ValueError: not TOML, or not such tables; the text names the field.
        """
        return cls(_OverrideFile.model_validate(tomllib.loads(text)).price)

    def find_price(self, tenant_id: str, provider: str, model: str, at_us: int) -> Price | None:
        """Return the price that held at an instant, or None when nobody knows one."""
        # A day's number instead of a date: this is asked once a call, and making dates is dear.
        return self._find(tenant_id, provider, model, filed_at_us(at_us) // 86_400_000_000)

    def _find_on_day(self, tenant_id: str, provider: str, model: str, day_number: int) -> Price | None:
        day = date.fromordinal(date(1970, 1, 1).toordinal() + day_number)
        own = [
            override
            for override in self._overrides.get((provider.lower(), model.lower()), [])
            if override.tenant_id in (None, tenant_id)
            and (override.effective_from is None or override.effective_from <= day)
        ]
        if own:
            return _own_price(max(own, key=lambda it: (it.tenant_id or "", it.effective_from or date.min)))
        return _public_price(provider, model, day)


def _own_price(override: PriceOverride) -> Price:
    fresh = override.input_usd_per_mtok
    read, write = override.cache_read_usd_per_mtok, override.cache_write_usd_per_mtok
    since = override.effective_from.isoformat() if override.effective_from else "always"
    return Price(
        f"override:{override.provider}/{override.model}/{since}",
        fresh=(fresh, ()),
        output=(override.output_usd_per_mtok, ()),
        cache_read=(fresh if read is None else read, ()),
        cache_write=(fresh if write is None else write, ()),
    )


def _public_price(provider: str, model: str, day: date) -> Price | None:
    provider_id = PROVIDER_ALIASES.get(provider.lower(), provider.lower())
    snapshot = genai_prices.data_snapshot.get_snapshot()
    try:
        found_provider, found_model = snapshot.find_provider_model(model, None, provider_id, None)
    except LookupError:
        return None
    prices = found_model.get_prices(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    fresh, output = _bucket(prices.input_mtok), _bucket(prices.output_mtok)
    if fresh is None or output is None:
        return None
    # The public list counts cached tokens within the input and prices those it names apart; OpenClaw's buckets
    # do not overlap, so each is multiplied by itself, and one without a price of its own is plain input.
    return Price(
        f"{_PUBLIC_LIST}:{found_provider.id}/{found_model.id}",
        fresh=fresh,
        output=output,
        cache_read=_bucket(prices.cache_read_mtok) or fresh,
        cache_write=_bucket(prices.cache_write_mtok) or fresh,
    )


def _bucket(price: Any) -> _Bucket | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return price, ()
    return price.base, tuple((tier.start, tier.price) for tier in price.tiers)


def _unit_price(bucket: _Bucket, prompt_tokens: int) -> Decimal:
    base, tiers = bucket
    for start, price in tiers:
        if prompt_tokens > start:
            base = price
    return base
