"""What a dead letter says of itself, and which one can go back."""

from infra.runtime.dead_letter_replay import why_not
from infra.runtime.dead_letters import Letter, Place, read_letter

EVENTS = "clawtrace.events.v1"
DLQ = Place(f"{EVENTS}.dlq", 0, 7)
HEADERS = {
    "stage": "stitcher",
    "reason": "no array",
    "original_topic": EVENTS,
    "original_partition": "2",
    "original_offset": "41",
}


def letter(value: bytes = b"{}", place: Place = DLQ, **headers: str) -> Letter:
    return read_letter(place, 1_795_000_000_000, HEADERS | headers, value)


def test_it_says_where_it_was_and_why() -> None:
    it = letter()
    assert (it.stage, it.reason, it.num_bytes, it.more) == ("stitcher", "no array", 2, {})
    assert it.original == Place(EVENTS, 2, 41)
    assert why_not(it) is None


def test_the_same_letter_written_twice_has_one_name() -> None:
    by_sink = letter(stage="sink", reason="undecodable", place=Place(DLQ.topic, 0, 99))
    assert by_sink.letter_id == letter().letter_id
    # Other bytes of the same record (events that were refused), and the same bytes of another record, do not.
    assert letter(b"[]").letter_id != letter().letter_id
    assert letter(original_offset="42").letter_id != letter().letter_id


def test_what_never_was_in_a_topic_cannot_go_back() -> None:
    headers = {"clawtrace.stage": "gateway", "clawtrace.reason": "no int", "clawtrace.tenant": "acme01"}
    it = read_letter(DLQ, 0, headers, b"x")
    assert (it.stage, it.original, it.more) == ("gateway", None, {"tenant": "acme01"})
    assert "never was in a topic" in (why_not(it) or "")


def test_a_letter_goes_to_no_foreign_topic() -> None:
    assert "do not lie in" in (why_not(letter(original_topic="clawtrace.guard.v1")) or "")
    assert letter(original_offset="many").original is None


def test_places_are_read_as_they_are_written() -> None:
    assert Place.parse(str(DLQ)) == DLQ
    assert Place.parse("a/b/1/2") == Place("a/b", 1, 2)
