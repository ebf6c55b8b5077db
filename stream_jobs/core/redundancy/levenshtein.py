"""Levenshtein distance, and what it means to be similar.

Upstream: texts.
Downstream: ``similar``; rules that compare commands.
Guarantee: exact up to the limit; above it the answer is only that it is above. Similarity is the ratio
``1 - distance / length of the longer text``, reckoned in whole numbers.
"""

from rapidfuzz.distance import Levenshtein


def max_distance(longer: int, min_percent: int) -> int:
    """Return the greatest distance at which texts, the longer of that length, are still as similar as asked."""
    return longer * (100 - min_percent) // 100


def is_similar(left: str, right: str, min_percent: int) -> bool:
    """Whether two texts are at least that similar; two empty texts are the same."""
    limit = max_distance(max(len(left), len(right)), min_percent)
    return distance_within(left, right, limit) <= limit


def distance_within(left: str, right: str, limit: int) -> int:
    """Return the distance of two texts, or some number above the limit."""
    distance: int = Levenshtein.distance(left, right, score_cutoff=limit)
    return distance
