"""Prices that a person has written down: the rows of a price file, dated, for one tenant or for all.

Upstream: ``<home>/config/prices.toml``; the list this package brings along.
Downstream: ``producers.contracts.pricing.book``, the guard's price list, ``clawtrace prices``.
Guarantee: what cannot be right is refused with the row, the field, and what to write instead; of several rows the
same one is chosen everywhere.
"""

import hashlib
import tomllib
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from producers.contracts.pricing.price import Price, Rate, make_price

ANY_MODEL: Final = "*"
# A millionth of this is a dollar a token; nothing costs more.
MAX_USD_PER_MTOK: Final = Decimal(1_000_000)

_RATES: Final = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def _check_usd(value: object) -> object:
    if isinstance(value, float):
        raise ValueError('write money as text, for instance "0.30": a float is not exact')
    return value


def _check_rate(value: object) -> object:
    _check_usd(value)
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
        try:
            amount = Decimal(value)
        except ArithmeticError:
            raise ValueError(f'{value!r} is no amount; write dollars as text, for instance "0.30"') from None
        if not amount.is_finite() or not 0 <= amount <= MAX_USD_PER_MTOK:
            raise ValueError(f"{value} is no price; use 0 to {MAX_USD_PER_MTOK} dollars per million tokens")
    return value


Usd = Annotated[Decimal, BeforeValidator(_check_usd)]
UsdPerMtok = Annotated[Decimal, BeforeValidator(_check_rate)]


class _Rates(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd_per_mtok: UsdPerMtok
    output_usd_per_mtok: UsdPerMtok
    cache_read_usd_per_mtok: UsdPerMtok | None = None
    cache_write_usd_per_mtok: UsdPerMtok | None = None
    cache_write_1h_usd_per_mtok: UsdPerMtok | None = None


class PriceTier(_Rates):
    """The prices of a call whose whole prompt is longer than so many tokens."""

    above_prompt_tokens: int


class PriceOverride(_Rates):
    """One price, in dollars per million tokens; ``model`` may be ``*`` for all models of the provider."""

    provider: str
    model: str
    effective_from: date | None = None
    effective_until: date | None = None
    tenant_id: str | None = None
    tiers: tuple[PriceTier, ...] = ()
    source: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "PriceOverride":
        if not self.provider or not self.model:
            raise ValueError("provider and model: name both, as OpenClaw does; model may be * for all of a provider")
        if self.effective_from and self.effective_until and self.effective_until <= self.effective_from:
            raise ValueError(
                f"effective_until {self.effective_until} is not after effective_from {self.effective_from}; it is the "
                "first day on which the price no longer holds"
            )
        starts = [tier.above_prompt_tokens for tier in self.tiers]
        if starts != sorted(set(starts)) or min(starts, default=1) < 1:
            raise ValueError("tiers: above_prompt_tokens must be above 0 and grow from tier to tier")
        for name in _RATES[2:]:
            field = f"{name}_usd_per_mtok"
            if any((getattr(tier, field) is None) != (getattr(self, field) is None) for tier in self.tiers):
                raise ValueError(f"tiers: {field} must be in the row and in every tier, or in none of them")
        return self

    @property
    def key(self) -> tuple[str, str]:
        """Provider and model, without regard to capitals."""
        return self.provider.lower(), self.model.lower()

    def holds(self, tenant_id: str, day: date) -> bool:
        """Tell whether the price is this tenant's on this day (UTC)."""
        return (
            self.tenant_id in (None, tenant_id)
            and (self.effective_from is None or self.effective_from <= day)
            and (self.effective_until is None or day < self.effective_until)
        )

    def price(self, list_name: str, model: str) -> Price:
        """Make the price; its id tells the list, the row, and a digest of the amounts, which a correction changes."""
        since = self.effective_from.isoformat() if self.effective_from else "always"
        amounts = "|".join(f"{name}={self._rate(name)}" for name in _RATES)
        digest = hashlib.sha256(amounts.encode()).hexdigest()[:8]
        fresh, output = self._rate("input"), self._rate("output")
        if fresh is None or output is None:
            raise AssertionError("input and output are required fields")
        return make_price(
            f"{list_name}:{self.provider}/{self.model}/{since}#{digest}",
            model,
            fresh=fresh,
            output=output,
            cache_read=self._rate("cache_read"),
            cache_write=self._rate("cache_write"),
            cache_write_1h=self._rate("cache_write_1h"),
        )

    def _rate(self, name: str) -> Rate | None:
        field = f"{name}_usd_per_mtok"
        base: Decimal | None = getattr(self, field)
        if base is None:
            return None
        # Normalised: "3" and "3.00" are one price and must have one id.
        return Rate(
            _plain(base), tuple((tier.above_prompt_tokens, _plain(getattr(tier, field))) for tier in self.tiers)
        )


def _plain(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal(1)) if amount == amount.to_integral() else amount.normalize()


class _PriceFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    price: list[PriceOverride] = []


def parse_overrides(text: str) -> list[PriceOverride]:
    """Read ``[[price]]`` tables.

    Raises:
        ValueError: not TOML, or not such tables; the text names row and field and says what to write.
    """
    try:
        rows = _PriceFile.model_validate(tomllib.loads(text)).price
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError("; ".join(_in_words(dict(it)) for it in error.errors())) from None
    seen: set[tuple[object, ...]] = set()
    for number, row in enumerate(rows, 1):
        place = (*row.key, row.tenant_id, row.effective_from)
        if place in seen:
            raise ValueError(
                f"price {number}: {row.provider}/{row.model} has two rows from {row.effective_from or 'always'} for "
                f"{row.tenant_id or 'all tenants'}; keep one, or give one another effective_from"
            )
        seen.add(place)
    return rows


def _in_words(error: dict[str, object]) -> str:
    place = error["loc"]
    parts = list(place) if isinstance(place, tuple) else []
    row = f"price {parts[1] + 1}" if len(parts) > 1 and isinstance(parts[1], int) else "file"
    field = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in parts[2:] or parts[:1])
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "missing":
        message = "is missing; every price needs it"
    elif error["type"] == "extra_forbidden":
        known = PriceTier if "tiers" in parts else PriceOverride if row != "file" else _PriceFile
        message = f"there is no such field; there are {', '.join(known.model_fields)}"
    return f"{row}: {field}: {message}" if field else f"{row}: {message}"


def choose(rows: Iterable[PriceOverride], tenant_id: str, day: date) -> PriceOverride | None:
    """Return the row that holds: a tenant's own before one for all, a model's before ``*``, then the newest."""
    holding = [row for row in rows if row.holds(tenant_id, day)]
    return max(holding, key=_rank) if holding else None


def _rank(row: PriceOverride) -> tuple[bool, bool, date]:
    return row.tenant_id is not None, row.model != ANY_MODEL, row.effective_from or date.min
