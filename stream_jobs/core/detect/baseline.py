"""What is usual: quantiles of past amounts, learned one by one in bounded memory.

Upstream: amounts that a rule has measured.
Downstream: rules that compare an agent with itself.
Guarantee: pure; a quantile is off by at most 5 % of itself, whatever the amounts; at most 512 numbers are kept; the
past weighs less and less.

Method: a histogram with buckets that grow by a constant factor (DDSketch: Masson, Rim, Lee, VLDB 2019).
"""

import math

import msgspec

_GROWTH = 1.1
_LOG_GROWTH = math.log(_GROWTH)
# The middle of a bucket in the sense of relative error: both its ends are equally far off.
_MIDDLE = 2 / (1 + _GROWTH)
_LEAST, _GREATEST = -256, 255


class QuantileSketch(msgspec.Struct, array_like=True):
    """How often amounts of each size came."""

    weights: dict[int, float] = {}
    total: float = 0.0

    def add(self, amount: float, *, max_total: float) -> None:
        """Learn an amount above 0; when ``max_total`` have come, all that is known counts half from then on."""
        bucket = min(max(math.ceil(math.log(amount) / _LOG_GROWTH), _LEAST), _GREATEST)
        self.weights = {**self.weights, bucket: self.weights.get(bucket, 0.0) + 1.0}
        self.total += 1.0
        if self.total >= max_total:
            self.weights = {bucket: weight / 2 for bucket, weight in self.weights.items() if weight > 0.01}
            self.total = sum(self.weights.values())

    def quantile(self, share: float) -> float:
        """Return the amount that a share (0 to 1) of all did not exceed; 0 when nothing was learned."""
        left = share * self.total
        for bucket in sorted(self.weights):
            left -= self.weights[bucket]
            if left <= 0:
                return math.exp(bucket * _LOG_GROWTH) * _MIDDLE
        return 0.0
