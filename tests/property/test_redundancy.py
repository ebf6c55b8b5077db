"""The same calls are redundant as if every pair had been compared, in whatever order they come."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_jobs.core.redundancy.levenshtein import distance_within
from stream_jobs.core.redundancy.memory import PlainMemory
from stream_jobs.core.redundancy.normalise import asked_text, units_of
from stream_jobs.core.redundancy.similar import Page, SimilarTexts
from tests.bench.tool_calls import make_calls


def distance(left: str, right: str) -> int:
    """Levenshtein distance as in the textbook."""
    above = list(range(len(right) + 1))
    for row, char in enumerate(left, start=1):
        line = [row]
        for column, other in enumerate(right, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (char != other)))
        above = line
    return above[-1]


def redundant_by_pairs(texts: list[str]) -> set[int]:
    found: set[int] = set()
    for place, left in enumerate(texts):
        for other in range(place + 1, len(texts)):
            right = texts[other]
            if 100 * distance(left, right) <= 20 * max(len(left), len(right)):
                found |= {place, other}
    return found


def redundant_one_by_one(texts: list[str], order: list[int], *, anew: bool = False) -> set[int]:
    memory, found = PlainMemory(), set[int]()
    similar = SimilarTexts(memory, "s")
    for number in order:
        if anew:
            similar = SimilarTexts(memory, "s")
        finding = similar.add(texts[number], str(number))
        if finding.is_redundant:
            found.add(number)
        found.update(map(int, finding.newly_redundant))
    assert similar.family.num_redundant == len(found)
    return found


few_letters = st.text(alphabet="ab{}", max_size=24)


@settings(max_examples=300, deadline=None)
@given(left=st.text(alphabet="abcé\N{PILE OF POO}", max_size=90), right=few_letters, limit=st.integers(0, 90))
def test_distance_is_levenshteins(left: str, right: str, limit: int) -> None:
    wanted = distance(left, right)
    found = distance_within(left, right, limit)
    assert found == wanted if wanted <= limit else found > limit


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(few_letters, max_size=30), seed=st.integers(0, 2**32))
def test_short_texts_in_any_order(texts: list[str], seed: int) -> None:
    wanted = redundant_by_pairs(texts)
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    assert redundant_one_by_one(texts, order) == wanted
    assert redundant_one_by_one(texts, order[::-1], anew=True) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_calls_as_agents_make_them(seed: int) -> None:
    texts = [units_of(asked_text(call))[:60] for call in make_calls(60, seed)]
    wanted = redundant_by_pairs(texts)
    assert 10 < len(wanted) < 60
    for shuffle in range(4):
        order = list(range(len(texts)))
        random.Random(shuffle).shuffle(order)
        assert redundant_one_by_one(texts, order, anew=bool(shuffle % 2)) == wanted


@st.composite
def hostile(draw: st.DrawFn) -> list[str]:
    """Draw texts and copies of them with about as many edits as still count, of letters that are hard to handle."""
    letters = st.text(alphabet='a\x00\ud800é\N{PILE OF POO}\\"{ ', min_size=1, max_size=45)
    texts = draw(st.lists(letters | st.sampled_from(["", "a" * 60, "ab" * 30, "\ud800" * 40]), min_size=1, max_size=9))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for text in list(texts):
        copy = list(text)
        for _ in range(round(len(text) * rng.choice((0.1, 0.19, 0.2, 0.21, 0.3)))):
            place = rng.randrange(len(copy) + 1)
            copy[place : place + rng.randint(0, 1)] = rng.choice(["", "a", "\x00", "\N{PILE OF POO}"])
        texts.append("".join(copy))
    return texts


@settings(max_examples=200, deadline=None)
@given(texts=hostile(), seed=st.integers(0, 2**32))
def test_hostile_texts_are_flagged_as_by_all_pairs(texts: list[str], seed: int) -> None:
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    assert redundant_one_by_one(texts, order, anew=bool(seed % 2)) == redundant_by_pairs(texts)


def test_vectors_of_an_older_release_are_made_anew() -> None:
    memory = PlainMemory()
    kept = ["grep -rn needle src/core", "cat README.md"]
    for text in kept:
        SimilarTexts(memory, "scope").add(text, text)
    page = memory.memory("scope|0", Page)
    page.vectors, page.vector_bits = [b"\x01"] * len(kept), 1024
    assert SimilarTexts(memory, "scope").add("grep -rn needle src/care", "new").newly_redundant == (kept[0],)
    assert len(page.vectors) == 3
    assert page.vector_bits > 1024
    assert SimilarTexts(memory, "scope").add("cat README.rd", "newer").newly_redundant == (kept[1],)
