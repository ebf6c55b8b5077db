"""Reads a figure as it is written ("$1.2k", "~1,200", "37.5 %") and says whether a value of a result is meant by it.

Upstream: api/tracy/citations.py finds the figures in a text.
Downstream: nothing; pure.
Guarantee: a figure matches only the value itself, rounded to as many digits as are shown, in the unit of its column;
what cannot be read never matches, 0 is shown for 0 only, and NULL matches nothing.
"""

import math
import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any, Final

_SCALES: Final = {
    "k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "bn": 9, "billion": 9,
}  # fmt: skip
_SECONDS: Final = {
    "us": Decimal("0.000001"), "µs": Decimal("0.000001"), "ms": Decimal("0.001"), "s": Decimal(1), "sec": Decimal(1),
    "seconds": Decimal(1), "second": Decimal(1), "min": Decimal(60), "minutes": Decimal(60), "minute": Decimal(60),
    "h": Decimal(3600), "hours": Decimal(3600), "hour": Decimal(3600), "days": Decimal(86400), "day": Decimal(86400),
}  # fmt: skip
_USD: Final = frozenset({"usd", "dollar", "dollars"})
_PERCENT: Final = frozenset({"%", "percent", "pct", "percentage"})
_CENTS: Final = frozenset({"¢", "cent", "cents"})
_COUNTED: Final = frozenset({"x", "×", "tokens", "token"})
# Words in the name of a column that say that it holds dollars.
_USD_COLUMN: Final = frozenset({"usd", "dollars", "cost", "spend", "price"})

_UNITS: Final = sorted({*_SECONDS, *_USD, *_PERCENT, *_CENTS, *_COUNTED}, key=len, reverse=True)
_UNIT_PATTERN: Final = "|".join(re.escape(unit) for unit in _UNITS)
_SCALE_PATTERN: Final = "|".join(sorted(_SCALES, key=len, reverse=True))
_FIGURE: Final = re.compile(
    r"(?P<about>~|≈|about\s|around\s|roughly\s|approximately\s)?\s*"
    r"(?P<sign>[-−+])?(?P<dollar>\$)?(?P<sign2>[-−])?"
    r"(?P<whole>[0-9]{1,3}(?:[,_'\u00a0\u2009\u202f ][0-9]{3})+|[0-9]+)(?P<fraction>\.[0-9]+)?"
    rf"(?:\s?(?P<scale>{_SCALE_PATTERN})(?![a-z]))?(?:[\s-]?(?P<unit>{_UNIT_PATTERN})(?![a-z]))?",
    re.I,
)
_UNIT_BEHIND: Final = re.compile(rf"\s?(?:(?:{_SCALE_PATTERN})(?![a-z])\s?)?(?:(?:{_UNIT_PATTERN})(?![a-z]))?", re.I)
_PLAIN: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_INSTANT: Final = re.compile(r"\d{4}-\d{2}(?:-\d{2}(?:[T ]\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?)?(?:\s?(?:Z|UTC))?")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as shown. ``value`` is before the scale: 1.2 in "$1.2k"."""

    value: Decimal
    decimals: int
    scale: Decimal
    unit: str
    is_approximate: bool


def parse_figure(text: str) -> Figure | None:
    """Read one figure with its unit; None when the text is anything else, or more than that."""
    match = _FIGURE.fullmatch(text.strip())
    if match is None:
        return None
    fraction = match["fraction"] or ""
    value = Decimal(re.sub(r"[^0-9]", "", match["whole"]) + fraction)
    if (match["sign"] or match["sign2"] or "+") in "-−":
        value = -value
    unit = (match["unit"] or "").lower()
    if match["dollar"]:
        if unit and unit not in _USD:
            return None
        unit = "usd"
    scale = match["scale"] or ""
    if scale == "m":
        # Million is M; a small m could be minutes, metres or thousandths.
        return None
    return Figure(
        value=value,
        decimals=max(0, len(fraction) - 1),
        scale=Decimal(10) ** _SCALES.get(scale.lower(), 0),
        unit=unit,
        is_approximate=bool(match["about"]),
    )


def unit_behind(text: str) -> str:
    """Return the scale and unit with which a text begins, so that "[[5|…]] ms" is read whole; empty when none."""
    match = _UNIT_BEHIND.match(text)
    return match.group() if match and match.group().strip() else ""


def why_not(shown: str, cell: Any, column: str) -> str | None:
    """Return why ``shown`` does not say the value ``cell`` of ``column``; None when it does."""
    if cell is None:
        return "the value is NULL, which is no number"
    number = _number(cell)
    figure = parse_figure(shown)
    if figure is not None and number is not None:
        return _why_not_number(figure, number, column)
    if _text_matches(shown, cell):
        return None
    return "it cannot be read as a number" if number is not None else "the value is another text"


def is_number(cell: Any) -> bool:
    """Whether a value of a result is a number; NULL counts as one that is not known."""
    return cell is None or _number(cell) is not None


def say_alike(shown: str, cell: Any, column: str) -> str | None:
    """Return another value in the words of ``shown`` ("$1.2k" of 2345.6 is "$2.3k"); None when it cannot be said so."""
    match, figure, number = _FIGURE.fullmatch(shown.strip()), parse_figure(shown), _number(cell)
    factor = _factor(figure.unit, column) if figure is not None else None
    if match is None or figure is None or number is None or factor is None:
        return None
    value = _rounded(number * factor / figure.scale, Decimal(1).scaleb(-figure.decimals), ROUND_HALF_UP)
    if value is None:
        return None
    grouped = not match["whole"].isdigit() or abs(value) >= 10_000
    digits = f"{abs(value):{',' if grouped else ''}f}"
    begin = f"{'~' if match['about'] else ''}{'-' if value < 0 else ''}{'$' if match['dollar'] else ''}"
    said = f"{begin}{digits}{shown.strip()[match.end('fraction' if match['fraction'] else 'whole') :]}"
    return said if why_not(said, cell, column) is None else None


def _why_not_number(figure: Figure, number: Decimal, column: str) -> str | None:
    factor = _factor(figure.unit, column)
    if factor is None:
        return f"{column} is not in {figure.unit}"
    expected = number * factor / figure.scale
    if figure.value == 0 and number != 0:
        return "0 is shown for a value that is not 0"
    if figure.is_approximate:
        close = abs(expected - figure.value) <= _last_digit(figure) / 2
    else:
        step = Decimal(1).scaleb(-figure.decimals)
        close = figure.value in (_rounded(expected, step, ROUND_HALF_UP), _rounded(expected, step, ROUND_HALF_EVEN))
    return None if close else "the value is another"


def _factor(unit: str, column: str) -> Decimal | None:
    """With what to multiply the value of the column to have it in the unit; None when it cannot be in it."""
    words = re.split(r"[^a-z]+", column.lower())
    is_usd = bool(_USD_COLUMN.intersection(words))
    is_percent = bool(_PERCENT.intersection(words))
    seconds = _SECONDS.get(words[-1]) if not is_usd and not is_percent else None
    if unit in _USD:
        return Decimal(1) if is_usd else None
    if unit in _CENTS:
        return Decimal(100) if is_usd else None
    if unit in _PERCENT:
        if is_usd or seconds is not None:
            return None
        return Decimal(1) if is_percent else Decimal(100)
    if unit in _SECONDS:
        return seconds / _SECONDS[unit] if seconds is not None else None
    if unit in _COUNTED:
        return None if is_usd or is_percent or seconds is not None else Decimal(1)
    return Decimal(1)


def _last_digit(figure: Figure) -> Decimal:
    """The place of the last digit that says something: 100 for 1,200, 0.1 for 1.5."""
    if figure.decimals or figure.value == 0:
        return Decimal(1).scaleb(-figure.decimals)
    digits = str(abs(int(figure.value)))
    return Decimal(10) ** (len(digits) - len(digits.rstrip("0")))


def _rounded(value: Decimal, step: Decimal, rounding: str) -> Decimal | None:
    try:
        return value.quantize(step, rounding=rounding)
    except ArithmeticError:
        return None


def _number(cell: Any) -> Decimal | None:
    match cell:
        case bool():
            return None
        case Decimal() | int():
            number = Decimal(cell)
            return number if number.is_finite() else None
        case float():
            return Decimal(repr(cell)) if math.isfinite(cell) else None
        case str() if len(cell) < 40 and _PLAIN.fullmatch(cell):
            return Decimal(cell)
        case _:
            return None


def _text_matches(shown: str, cell: Any) -> bool:
    shown = " ".join(shown.split())
    if isinstance(cell, date | datetime):
        if not _INSTANT.fullmatch(shown):
            return False
        # To the minute or the day is enough, as long as it is the same one.
        instant = re.sub(r"\s?(?:Z|UTC)$", "", shown).replace("T", " ")
        return cell.isoformat().replace("T", " ").startswith(instant)
    return bool(shown) and shown.casefold() == " ".join(str(cell).split()).casefold()
