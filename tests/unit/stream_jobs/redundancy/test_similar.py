"""Near-duplicates as calls come in: who is marked, and what happens beyond the bound."""

from stream_jobs.core.redundancy.memory import PlainMemory
from stream_jobs.core.redundancy.similar import Page, SimilarTexts


def test_the_earlier_call_becomes_redundant_by_the_later() -> None:
    similar = SimilarTexts(PlainMemory(), "s")
    assert similar.add("make test", "a") == (False, False, (), False)
    assert similar.add("make test", "b") == (True, True, ("a",), False)
    assert similar.add("make tests", "c") == (True, False, (), False)
    assert similar.add("something else", "d") == (False, False, (), False)
    assert (similar.family.num_calls, similar.family.num_redundant, similar.family.num_texts) == (4, 3, 3)


def test_a_call_told_twice_is_one_call() -> None:
    similar = SimilarTexts(PlainMemory(), "s")
    similar.add("make test", "a")
    assert similar.add("make test", "a").is_redundant is False
    assert similar.family.num_calls == 1


def test_similarity_of_exactly_four_fifths_counts() -> None:
    similar = SimilarTexts(PlainMemory(), "s")
    similar.add("0123456789", "a")
    assert similar.add("01234567xx", "b").is_redundant
    similar = SimilarTexts(PlainMemory(), "s")
    similar.add("0123456789", "a")
    assert not similar.add("0123456xxx", "b").is_redundant


def test_one_text_joins_two_that_are_not_alike() -> None:
    similar = SimilarTexts(PlainMemory(), "s")
    similar.add("xxabcdefgh", "a")
    assert similar.add("abcdefghyy", "b").newly_redundant == ()
    assert sorted(similar.add("abcdefgh", "c").newly_redundant) == ["a", "b"]


def test_another_reader_of_the_memory_goes_on_where_the_first_stopped() -> None:
    memory = PlainMemory()
    for number in range(100):
        SimilarTexts(memory, "s").add(f"{number:03d}" * 7, str(number))
    assert SimilarTexts(memory, "s").add("042" * 6 + "x42", "new").newly_redundant == ("42",)


def test_memory_has_a_bound_and_says_what_it_forgot() -> None:
    memory = PlainMemory()
    similar = SimilarTexts(memory, "s", max_texts=40)
    for number in range(60):
        assert similar.add(chr(0x4E00 + number) * 20, str(number)).is_forgotten == (number >= 40)
    family = similar.family
    assert (family.num_texts, family.num_forgotten, family.num_calls) == (40, 20, 60)
    assert len(memory.memory("s|1", Page).texts) == 8
    assert similar.add(chr(0x4E00 + 39) * 20, "known").is_redundant
    assert not similar.add(chr(0x4E00 + 41) * 20, "forgotten").is_redundant


def test_scopes_share_nothing() -> None:
    memory = PlainMemory()
    SimilarTexts(memory, "s").add("make test", "a")
    assert not SimilarTexts(memory, "t").add("make test", "b").is_redundant
