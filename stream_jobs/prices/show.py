"""Says what models cost, and which list says so.

Upstream: ``producers.contracts.pricing``, ``<home>/config/prices.toml``.
Downstream: ``clawtrace prices list`` and ``show``.
Guarantee: what is shown is what the stitcher would charge for a call of that instant.
"""

from datetime import date
from pathlib import Path
from typing import Any

from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.pricing.names import listed_names, listed_provider
from producers.contracts.pricing.price import Price

_HEAD = ("provider", "model", "input", "cache read", "cache write", "1h write", "output", "price id")


class NoPrice(Exception):
    """Nobody knows a price; the text says how to set one."""


def read_book(path: Path) -> PriceBook:
    """Read the price file; no file is an empty one.

    Raises:
        ValueError: the file is wrong; the text names file, row and field.
    """
    try:
        return PriceBook.from_toml(path.read_text())
    except FileNotFoundError:
        return PriceBook()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def listed_prices(
    book: PriceBook, provider: str, part_of_model: str, tenant_id: str, day: date
) -> list[dict[str, Any]]:
    """Return the price of every model of every list, or of one provider's, or of those with a text in their name."""
    wanted = {provider.lower(), listed_provider(provider)} if provider else None
    rows = []
    for owner, model in book.models():
        if (wanted and owner.lower() not in wanted) or part_of_model.lower() not in model.lower():
            continue
        price = book.find_price(tenant_id, owner, model, noon_us(day))
        if price is not None:
            rows.append({"provider": owner, "model": model, **_rates(price), "price_id": price.price_id})
    return sorted(rows, key=lambda row: (row["provider"].lower(), row["model"].lower()))


def one_price(book: PriceBook, provider: str, model: str, tenant_id: str, at_us: int) -> dict[str, Any]:
    """Return all that is known of one model's price at an instant.

    Raises:
        NoPrice: no list knows the model.
    """
    price = book.find_price(tenant_id, provider, model, at_us)
    looked_for = [f"{owner}/{name}" for owner, name in listed_names(provider, model)]
    if price is None:
        raise NoPrice(
            f"no list knows {provider}/{model} (looked for {', '.join(looked_for)}); its calls cost NULL. Set a price "
            f"with: clawtrace prices set {provider} {model} --input 0.30 --output 1.20"
        )
    tiers = sorted({above for rate in price[1:] for above, _ in rate.tiers})
    return {
        "provider": provider,
        "model": model,
        **_rates(price),
        "tiers": [{"above_prompt_tokens": above, **_rates(price, above + 1)} for above in tiers],
        "price_id": price.price_id,
        "looked_for": looked_for,
    }


def as_table(rows: list[dict[str, Any]]) -> str:
    """Rows of fixed width; no rich table: it cuts names short where there is no terminal."""
    lines = [_HEAD, *(tuple(str(cell) for cell in row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def in_words(found: dict[str, Any]) -> str:
    """One price in lines."""
    lines = [f"{found['provider']}/{found['model']}: dollars per million tokens", _in_line(found)]
    lines += [f"above {tier['above_prompt_tokens']} prompt tokens: {_in_line(tier)}" for tier in found["tiers"]]
    return "\n".join([*lines, f"price id: {found['price_id']}"])


def _in_line(rates: dict[str, Any]) -> str:
    return (
        f"input {rates['input']}, cache read {rates['cache_read']}, cache write {rates['cache_write']}, for an hour "
        f"{rates['cache_write_1h']}, output {rates['output']}"
    )


def _rates(price: Price, prompt_tokens: int = 0) -> dict[str, str]:
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
    return {name: f"{rate.at(prompt_tokens):f}" for name, rate in zip(names, price[1:], strict=True)}
