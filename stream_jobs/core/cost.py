"""What tokens cost: the door of the core to the price lists.

Upstream: ``producers.contracts.pricing``, which the gateway's guards share.
Downstream: spans, traces, alerts.
Guarantee: pure; our own list beats the public one; what has no price costs None, never 0.
"""

from producers.contracts.pricing.book import PriceBook
from producers.contracts.pricing.overrides import Usd
from producers.contracts.pricing.price import Price

__all__ = ["Price", "PriceBook", "Usd"]
