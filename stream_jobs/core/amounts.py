"""Dollars in the sentences that people read.

Upstream: sums of the rules and of the budgets.
Downstream: messages of alerts; the pages write dollars by the same rule (api/web/src/kit/format.ts).
Guarantee: pure; a sum that is not 0 never reads as 0, whatever the price list says.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

_CENTS: Final = 2
_FINEST: Final = 12


def usd_text(amount: Decimal) -> str:
    """Return dollars with cents from one dollar up, below that with two significant digits: "$0.056"."""
    size = abs(amount)
    if not size:
        return "$0"
    digits = _CENTS if size >= 1 else min(_FINEST, max(_CENTS, 1 - size.adjusted()))
    whole, _, fraction = f"{size.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,f}".partition(".")
    return f"{'−' if amount < 0 else ''}${whole}.{fraction.rstrip('0').ljust(_CENTS, '0')}"
