"""`clawtrace dlq` over real Kafka and Postgres: a letter goes back once, byte for byte, whatever was cut off."""

import json
import time

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.dlq import REPLAY_LOCK_ID
from infra.runtime.database import lone_lock, make_engine
from infra.runtime.dead_letter_replay import UNSETTLED_S
from infra.runtime.dead_letters import LETTER_ID_HEADER, MARK_HEADER, REPLAY_OF_HEADER
from tests.integration.console.conftest import DeadLetterBox

EVENTS, SPANS = "clawtrace.events.v1", "clawtrace.spans.v1"
VALUE = b'{"tenant_id": "acme01", "events": "\xff"}'
KEY = b"acme01|office-mac"


def bury_some(box: DeadLetterBox) -> tuple[str, str, str]:
    """A record that stitcher and sink buried both, and another."""
    by_stitcher = box.bury("stitcher", VALUE, 1, 41, topic=EVENTS, key=KEY)
    by_sink = box.bury("sink", VALUE, 1, 41, topic=EVENTS, key=None)
    other = box.bury("stitcher", b"[]", 0, 7, topic=EVENTS, key=None)
    return by_stitcher, by_sink, other


def test_they_are_listed_and_shown_with_their_bytes(box: DeadLetterBox) -> None:
    assert box.listed() == []
    one, _, other = bury_some(box)
    span = box.bury("sink", b"{", 0, 3, topic=SPANS, key=None)
    assert {it["letter"] for it in box.listed()} >= {one, other, span}
    assert [it["letter"] for it in box.listed("--topic", SPANS)] == [span]
    assert [it["letter"] for it in box.listed("--stage", "stitcher", "--limit", "1")] == [other]
    shown = json.loads(box.dlq("show", one, "--json").stdout)
    assert shown["original"] == {"topic": box.prefix + EVENTS, "partition": 1, "offset": 41}
    assert (shown["stage"], shown["reason"]) == ("stitcher", "stitcher cannot read it")
    assert box.dlq("show", one, "--raw").stdout_bytes == VALUE
    assert r'"events": "\xff"' in box.dlq("show", one).stdout
    unknown = box.dlq("show", f"{box.prefix}{EVENTS}.dlq/0/99")
    assert (unknown.exit_code, unknown.stdout) == (EXIT_QUESTION, "")
    assert "there is no letter" in unknown.stderr


def test_each_goes_back_once_byte_for_byte(box: DeadLetterBox) -> None:
    one, by_sink, other = bury_some(box)
    everything = ("--all", "--topic", EVENTS)
    planned = box.replay(*everything, "--dry-run")
    assert planned[one] == ("would be replayed", f"to partition 1 of {box.prefix}{EVENTS}")
    assert planned[by_sink][0] == "is the same letter"
    assert (box.read(EVENTS), len(box.read(f"{EVENTS}.dlq"))) == ([], 3)
    assert {outcome for outcome, _ in box.replay(*everything).values()} == {"replayed", "is the same letter"}
    sent = box.read(EVENTS)
    assert [(it.partition, it.key, it.value) for it in sent] == [(0, None, b"[]"), (1, KEY, VALUE)]
    assert (sent[0].headers[REPLAY_OF_HEADER], sent[1].headers[REPLAY_OF_HEADER]) == (other, one)
    assert sent[1].headers["clawtrace.original"] == f"{box.prefix}{EVENTS}/1/41"
    for again in (everything, (one,), (by_sink,)):
        assert {outcome for outcome, _ in box.replay(*again).values()} == {"was replayed"}
    assert box.read(EVENTS) == sent
    assert {it["replay"] for it in box.listed()} == {
        f"is now {box.prefix}{EVENTS}/0/0",
        f"is now {box.prefix}{EVENTS}/1/0",
    }


def test_what_comes_back_goes_again_only_by_name(box: DeadLetterBox) -> None:
    one, *_ = bury_some(box)
    box.replay(one)
    (sent,) = box.read(EVENTS)
    back = box.bury("stitcher", sent.value, sent.partition, sent.offset, topic=EVENTS, key=sent.key)
    assert box.replay("--all", "--topic", EVENTS)[back][0] == "came back"
    assert box.replay(back)[back] == ("replayed", f"as {box.prefix}{EVENTS}/1/1")
    assert [it.value for it in box.read(EVENTS) if it.partition == 1] == [VALUE, VALUE]


def begun(box: DeadLetterBox, letter_id: str, seconds_ago: float) -> None:
    """The mark that a replay leaves when it is killed after it."""
    said = {
        "letter_id": letter_id,
        "state": "begun",
        "at_ms": int((time.time() - seconds_ago) * 1000),
        "target": f"{box.prefix}{EVENTS}/1/0",
    }
    box.put(f"{EVENTS}.dlq", 0, json.dumps(said).encode(), {MARK_HEADER: "begun"})


def test_a_replay_that_was_cut_off_is_brought_to_its_end(box: DeadLetterBox) -> None:
    before_sending, _, after_sending = bury_some(box)
    ids = {it["letter"]: it["letter_id"] for it in box.listed()}
    begun(box, ids[before_sending], UNSETTLED_S + 1)
    begun(box, ids[after_sending], UNSETTLED_S + 1)
    # The second one had been sent when the replay was killed; only the mark of its end is missing.
    at = box.put(EVENTS, 1, b"[]", {LETTER_ID_HEADER: ids[after_sending]})
    done = box.replay(before_sending, after_sending)
    assert done[before_sending] == ("replayed", f"as {box.prefix}{EVENTS}/1/{at + 1}")
    assert done[after_sending] == ("was replayed", f"as {box.prefix}{EVENTS}/1/{at}, by a replay that was cut off")
    assert [it.value for it in box.read(EVENTS)] == [b"[]", VALUE]
    assert {outcome for outcome, _ in box.replay(before_sending, after_sending).values()} == {"was replayed"}


def test_what_may_still_be_on_its_way_is_left_alone(box: DeadLetterBox) -> None:
    one, *_ = bury_some(box)
    begun(box, box.listed("--stage", "sink")[0]["letter_id"], 1)
    assert box.replay(one, code=EXIT_AWAY)[one][0] == "unsettled"
    assert box.read(EVENTS) == []


def test_two_do_not_replay_at_once(box: DeadLetterBox) -> None:
    one, *_ = bury_some(box)
    engine = make_engine(box.stack, pool_size=1)
    with lone_lock(engine, REPLAY_LOCK_ID) as check:
        assert check is not None
        refused = box.dlq("replay", one)
        assert (refused.exit_code, refused.stdout) == (EXIT_AWAY, "")
        assert "Another replay is running" in refused.stderr
    engine.dispose()
    assert box.replay(one)[one][0] == "replayed"


def test_what_cannot_go_back_says_why(box: DeadLetterBox) -> None:
    headers = {"clawtrace.stage": "gateway", "clawtrace.reason": "no JSON", "clawtrace.agent": "office-mac"}
    body = f"{box.prefix}{EVENTS}.dlq/0/{box.put(f'{EVENTS}.dlq', 0, b'x', headers)}"
    outcome, note = box.replay(body, code=EXIT_QUESTION)[body]
    assert outcome == "cannot be replayed"
    assert "never was in a topic" in note
    late = box.bury("sink", b"{", 0, 3, topic=SPANS, key=None)
    told = box.dlq("replay", late)
    assert told.exit_code == 0
    assert "Readers pass over an output that is older" in told.stderr
    for wrong in ((), ("--all",), ("no-letter",), ("--all", "--topic", "no-topic")):
        assert box.dlq("replay", *wrong).exit_code == EXIT_QUESTION
