"""Levenshtein distance by bit vectors as wide as the text (Myers 1999, in Hyyrö's form of 2003), of two or of many.

Upstream: texts.
Downstream: ``similar``; rules that compare commands.
Guarantee: exact up to the limit; above it the answer is only that it is above. Similarity is the ratio
``1 - distance / length of the longer text``, reckoned in whole numbers.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple


def max_distance(longer: int, min_percent: int) -> int:
    """Return the greatest distance at which texts, the longer of that length, are still as similar as asked."""
    return longer * (100 - min_percent) // 100


def is_similar(left: str, right: str, min_percent: int) -> bool:
    """Whether two texts are at least that similar; two empty texts are the same."""
    limit = max_distance(max(len(left), len(right)), min_percent)
    return distance_within(left, right, limit) <= limit


def distance_within(left: str, right: str, limit: int) -> int:
    """Return the distance of two texts, or some number above the limit."""
    if len(left) > len(right):
        left, right = right, left
    if len(right) - len(left) > limit:
        return limit + 1
    start, end = 0, len(left)
    while start < end and left[start] == right[start]:
        start += 1
    gap = len(right) - len(left)
    while end > start and left[end - 1] == right[end + gap - 1]:
        end -= 1
    left, right = left[start:end], right[start : end + gap]
    if not left:
        return len(right)
    return _by_bits(left, right, limit)


def _by_bits(left: str, right: str, limit: int) -> int:
    places: dict[str, int] = {}
    bit = 1
    for char in left:
        places[char] = places.get(char, 0) | bit
        bit <<= 1
    full, last = bit - 1, bit >> 1
    # Row by row: where the next cell is one more (plus) or one less (minus) than the one above it.
    plus, minus, distance = full, 0, len(left)
    worst = limit + len(right)
    for char in right:
        equal = places.get(char, 0) | minus
        diagonal = (((equal & plus) + plus) ^ plus) | equal
        right_plus = minus | ~(plus | diagonal)
        right_minus = plus & diagonal
        if right_plus & last:
            distance += 1
        elif right_minus & last:
            distance -= 1
        worst -= 1
        # Each character that is left can take away one at most.
        if distance > worst:
            return limit + 1
        right_plus = (right_plus << 1) | 1
        minus = right_plus & diagonal & full
        plus = ((right_minus << 1) | ~(right_plus | diagonal)) & full
    return distance


# --- one text against many: each has a lane of its own in the same wide vectors


class Lane(NamedTuple):
    """A text made ready: its length, and for each character the places where it stands, as lane bytes."""

    length: int
    places: defaultdict[str, bytes]


def lane_bytes(length: int) -> int:
    """Return the width of the lane of a text; a bit above the text stays free for the carry."""
    return (length // 64 + 1) * 8


def lane_of(text: str) -> Lane:
    """Make a text ready to be compared with others."""
    places: dict[str, int] = {}
    for number, char in enumerate(text):
        places[char] = places.get(char, 0) | 1 << number
    width = lane_bytes(len(text))
    nowhere = partial(bytes, width)
    return Lane(
        len(text), defaultdict(nowhere, {char: bits.to_bytes(width, "little") for char, bits in places.items()})
    )


def distances(text: str, lanes: Sequence[Lane]) -> list[int]:
    """Return the distance of a text to each of the lanes, which must all be equally wide."""
    if not lanes:
        return []
    width = lane_bytes(lanes[0].length)
    of_lanes = [lane.places for lane in lanes]
    places = {char: int.from_bytes(b"".join(map(itemgetter(char), of_lanes)), "little") for char in set(text)}
    ones = int.from_bytes((1).to_bytes(width, "little") * len(lanes), "little")
    full = (ones << (width * 8 - 1)) - ones
    plus, minus = full, 0
    for char in text:
        equal = places[char] | minus
        # The sum may carry into the lane's free bit; without it nothing shifts into the next lane either.
        diagonal = ((((equal & plus) + plus) ^ plus) | equal) & full
        right_plus = ((minus | full ^ (plus | diagonal)) << 1) | ones
        right_minus = (plus & diagonal) << 1
        minus = right_plus & diagonal
        plus = (right_minus | full ^ ((right_plus | diagonal) & full)) & full
    ups, downs = (it.to_bytes(width * len(lanes), "little") for it in (plus, minus))
    found = []
    for start, lane in zip(range(0, len(ups), width), lanes, strict=True):
        mask = (1 << lane.length) - 1
        up = int.from_bytes(ups[start : start + width], "little") & mask
        down = int.from_bytes(downs[start : start + width], "little") & mask
        found.append(len(text) + up.bit_count() - down.bit_count())
    return found
