"""Finds, for each new text, what is remembered and nearly the same.

Upstream: normalised texts of the calls of one tool, one by one.
Downstream: marks on tool calls, TraceCards, rule ``redundant_tool_calls``.
Guarantee: a call is redundant when another of the same scope is at least ``min_percent`` similar, in whatever order
they come: the same set as comparing every pair, as long as there are at most ``max_texts`` different texts. Later
different ones are still compared with those remembered, but not remembered, and counted in ``num_forgotten``.

Most pairs are never compared. Equal texts meet by their hash. Of the others, one edit changes at most four of the
pairs of neighbouring characters (two go, two come) and two of the characters, so texts within distance d differ in at
most 4d and 2d of them; both are hashed into bit vectors, where a collision can only hide a difference. Texts whose
lengths or vectors differ by more are out without a look; the rest is measured. Of texts already known to be redundant
only one needs to be met.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final, NamedTuple, Protocol, TypeVar
from zlib import crc32

import msgspec

from stream_jobs.core.redundancy.levenshtein import distance_within, max_distance
from stream_jobs.core.redundancy.normalise import digest_of

DEFAULT_MIN_PERCENT: Final = 80
DEFAULT_MAX_TEXTS: Final = 2_000

_PAGE_TEXTS = 32
# Half as many let twice as many texts through that are not similar; twice as many cost more than they keep out.
_VECTOR_BITS = 2048

# Differing bits of the vectors, number of the text, greatest distance.
_Candidate = tuple[int, int, int]

Value = TypeVar("Value", bound=msgspec.Struct)


class Memory(Protocol):
    """Where small values are kept under names."""

    def memory(self, name: str, type_: type[Value]) -> Value:
        """Return the value of a name, made when there is none."""
        ...

    def change_memory(self, name: str) -> None:
        """Note that a value was changed in place."""
        ...


class Family(msgspec.Struct, array_like=True):
    """Counts of one scope, and which of its texts are redundant, a bit each."""

    num_texts: int = 0
    num_calls: int = 0
    num_redundant: int = 0
    num_forgotten: int = 0
    flags: bytearray = msgspec.field(default_factory=bytearray)


class Page(msgspec.Struct, array_like=True):
    """Some of the texts, their vectors, and who asked first."""

    texts: list[str] = []
    vectors: list[bytes] = []
    owners: list[str] = []
    vector_bits: int = 1024


class _Place(msgspec.Struct, array_like=True):
    number: int = -1


class Finding(NamedTuple):
    """What is known of a call: whether it is redundant, and which earlier ones became so by it."""

    is_redundant: bool
    is_exact: bool = False
    newly_redundant: tuple[str, ...] = ()
    is_forgotten: bool = False


class SimilarTexts:
    """The texts of one scope."""

    def __init__(
        self,
        memory: Memory,
        scope: str,
        *,
        min_percent: int = DEFAULT_MIN_PERCENT,
        max_texts: int = DEFAULT_MAX_TEXTS,
    ) -> None:
        """Nothing is read before it is needed."""
        self._memory = memory
        self._scope = scope
        self._min_percent = min_percent
        self._max_texts = max_texts
        self._by_length: dict[int, tuple[list[int], list[int]]] | None = None
        self._bags: dict[int, int] = {}

    @property
    def family(self) -> Family:
        """Counts so far."""
        return self._memory.memory(self._scope, Family)

    def add(self, text: str, owner: str) -> Finding:
        """Take the text of a call; a call that comes again changes nothing."""
        place_name = f"{self._scope}|={digest_of(text)}"
        place = self._memory.memory(place_name, _Place)
        family = self.family
        if place.number >= 0:
            earlier = self._owner(place.number)
            if earlier == owner:
                return Finding(self._is_flagged(place.number))
            newly = self._flag(place.number)
            family.num_calls += 1
            family.num_redundant += 1
            self._memory.change_memory(self._scope)
            return Finding(True, True, newly)
        vector = _vector_of(text)
        similar = self._find_similar(text, vector)
        newly = tuple(owner for number in similar for owner in self._flag(number))
        family.num_calls += 1
        family.num_redundant += bool(similar)
        self._memory.change_memory(self._scope)
        is_forgotten = family.num_texts >= self._max_texts
        if is_forgotten:
            family.num_forgotten += 1
        else:
            place.number = self._append(text, vector, owner, bool(similar))
            self._memory.change_memory(place_name)
        return Finding(bool(similar), False, newly, is_forgotten)

    def _find_similar(self, text: str, vector: int) -> list[int]:
        """Return all similar texts that are not flagged yet; when there are none, one that is."""
        flagged: list[_Candidate] = []
        others: list[_Candidate] = []
        is_flagged, bag = self._is_flagged, _bag_of(text)
        for length, limit, vectors, numbers in self._groups_near(len(text)):
            gap = abs(len(text) - length)
            bound, bag_bound = 4 * limit - gap, 2 * limit - gap
            for candidate in [
                (difference, number, limit)
                for other, number in zip(vectors, numbers, strict=True)
                if (difference := (other ^ vector).bit_count()) <= bound
            ]:
                if (bag ^ self._bag(candidate[1])).bit_count() <= bag_bound:
                    (flagged if is_flagged(candidate[1]) else others).append(candidate)
        found = [number for _, number, limit in others if self._is_within(text, number, limit)]
        if found:
            return found
        # The most alike first: mostly it is one, and only one is needed.
        flagged.sort()
        return list(islice((number for _, number, limit in flagged if self._is_within(text, number, limit)), 1))

    def _is_within(self, text: str, number: int, limit: int) -> bool:
        return distance_within(text, self._text(number), limit) <= limit

    def _groups_near(self, length: int) -> list[tuple[int, int, list[int], list[int]]]:
        groups = self._groups()
        shortest = length - max_distance(length, self._min_percent)
        longest = length * 100 // self._min_percent
        if longest - shortest < len(groups):
            lengths: list[int] = [it for it in range(shortest, longest + 1) if it in groups]
        else:
            lengths = [it for it in groups if shortest <= it <= longest]
        return [(it, max_distance(max(it, length), self._min_percent), *groups[it]) for it in lengths]

    def _groups(self) -> dict[int, tuple[list[int], list[int]]]:
        if self._by_length is None:
            self._by_length = {}
            for start in range(0, self.family.num_texts, _PAGE_TEXTS):
                page = self._page(start)
                # Vectors that an older release wrote.
                is_old = page.vector_bits != _VECTOR_BITS
                for offset, (text, vector) in enumerate(zip(page.texts, page.vectors, strict=True)):
                    bits = _vector_of(text) if is_old else int.from_bytes(vector, "little")
                    self._remember(start + offset, len(text), bits)
        return self._by_length

    def _remember(self, number: int, length: int, vector: int) -> None:
        assert self._by_length is not None
        vectors, numbers = self._by_length.setdefault(length, ([], []))
        vectors.append(vector)
        numbers.append(number)

    def _append(self, text: str, vector: int, owner: str, is_redundant: bool) -> int:
        family = self.family
        number = family.num_texts
        page = self._page(number)
        if page.vector_bits != _VECTOR_BITS:
            page.vectors = [_bytes_of(_vector_of(it)) for it in page.texts]
            page.vector_bits = _VECTOR_BITS
        # A fresh value's lists are shared defaults no longer, msgspec copies them.
        page.texts.append(text)
        page.vectors.append(_bytes_of(vector))
        page.owners.append(owner)
        self._memory.change_memory(self._page_name(number))
        family.num_texts += 1
        if number % 8 == 0:
            family.flags.append(0)
        if is_redundant:
            family.flags[number // 8] |= 1 << number % 8
        if self._by_length is not None:
            self._remember(number, len(text), vector)
        return number

    def _flag(self, number: int) -> tuple[str, ...]:
        """Flag a text; returns who asked it first, when that is news."""
        if self._is_flagged(number):
            return ()
        family = self.family
        family.flags[number // 8] |= 1 << number % 8
        family.num_redundant += 1
        return (self._owner(number),)

    def _is_flagged(self, number: int) -> bool:
        return bool(self.family.flags[number // 8] & 1 << number % 8)

    def _text(self, number: int) -> str:
        return self._page(number).texts[number % _PAGE_TEXTS]

    def _bag(self, number: int) -> int:
        bag = self._bags.get(number)
        if bag is None:
            bag = self._bags[number] = _bag_of(self._text(number))
        return bag

    def _owner(self, number: int) -> str:
        return self._page(number).owners[number % _PAGE_TEXTS]

    def _page(self, number: int) -> Page:
        return self._memory.memory(self._page_name(number), Page)

    def _page_name(self, number: int) -> str:
        return f"{self._scope}|{number // _PAGE_TEXTS}"


def _vector_of(text: str) -> int:
    """Set a bit for each pair of neighbours, and another each time it comes again."""
    return _bits_of(map("".join, pairwise(text)))


def _bag_of(text: str) -> int:
    """Set a bit for each character, and another each time it comes again."""
    return _bits_of(text)


def _bits_of(parts: Iterable[str]) -> int:
    vector = 0
    for part, times in Counter(parts).items():
        vector |= _bits_of_part(part, times)
    return vector


@lru_cache(maxsize=1 << 16)
def _bits_of_part(part: str, times: int) -> int:
    bits = 0
    for number in range(times):
        bits |= 1 << crc32(f"{number}{part}".encode(errors="replace")) % _VECTOR_BITS
    return bits


def _bytes_of(vector: int) -> bytes:
    return vector.to_bytes((vector.bit_length() + 7) // 8, "little")
