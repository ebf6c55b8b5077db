"""Sends dead letters back to where they came from, once.

Upstream: letters and marks of infra/runtime/dead_letters.py.
Downstream: the original topic and partition; marks in the dead-letter topic.
Guarantee: a letter is sent back at most once, whatever is killed. What is sent are its key and bytes, with headers that
say which letter it was.

How a replay keeps its word. Marks are records of the dead-letter topic with the header MARK_HEADER; they are younger
than their letters, so retention never takes a mark before its letter. Before a letter is sent a mark ``begun`` is
written and acknowledged; it holds where the original partition ends. After the broker has acknowledged what was sent a
mark ``done`` is written. A ``begun`` without ``done`` is a replay that was cut off: the original partition is searched
from the noted end for a record that names the letter. Found: it is done. Not found, and the mark is older than any
producer lives: it was not sent. Only one replay may run at a time; the caller holds a lock.

Marks go by what the letter says, not by where it lies: a consumer that was killed may write one letter twice, and
stitcher and sink may each write one about the same record; these are the same letter.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import Message, Producer

from infra.runtime.dead_letters import (
    DEAD_LETTER_SUFFIX,
    LETTER_ID_HEADER,
    MARK_HEADER,
    REPLAY_OF_HEADER,
    DeadLetterReader,
    Letter,
    Mark,
    Place,
)
from infra.runtime.kafka import KafkaAway

# A producer gives a record up after this; twice that is safe against what still lies in a socket.
SEND_TIMEOUT_S: Final = 15.0
UNSETTLED_S: Final = 30.0
BATCH_LETTERS: Final = 100
_MARKS_PARTITION: Final = 0

Outcome = Literal[
    "replayed",
    "would be replayed",
    "was replayed",
    "is the same letter",
    "came back",
    "cannot be replayed",
    "unsettled",
]
# topic, partition, key, value, headers
Outgoing = tuple[str, int, bytes | None, bytes, dict[str, str]]


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of one letter; ``note`` says why, or where it is now."""

    letter: Letter
    outcome: Outcome
    note: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay will do: letters to send, what is known of the others, marks that settle what was cut off."""

    topic: str
    to_send: list[Letter]
    results: list[ReplayResult]
    settled: list[Mark]


class Replayer:
    """Sends letters back. Whoever uses it holds the lock of all replays."""

    def __init__(self, bootstrap: str, reader: DeadLetterReader, clock_ms: Callable[[], int] | None = None) -> None:
        self._bootstrap, self._reader = bootstrap, reader
        self._clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        self._producer: Producer | None = None

    def plan(self, topic: str, wanted: Callable[[Letter], bool], named: Collection[Place] = ()) -> Plan:
        """Look at a dead-letter topic and say what would become of the letters that are wanted.

        A letter about a record that a replay sent has come back: its cause is not mended. It goes only when ``named``.

        Raises:
            KafkaAway: the broker does not answer.
        """
        letters: list[Letter] = []
        marks: dict[str, Mark] = {}
        for found in self._reader.letters(topic):
            if isinstance(found, Mark):
                marks[found.letter_id] = found
            elif wanted(found[0]):
                letters.append(found[0])
        sent_before = {mark.target for mark in marks.values() if mark.state == "done"}
        results: list[ReplayResult] = []
        to_send: list[Letter] = []
        sent: dict[str, Mark] = {}
        planned: dict[str, Place] = {}
        for letter in letters:
            mark = marks.get(letter.letter_id)
            if (why := why_not(letter)) is not None:
                results.append(ReplayResult(letter, "cannot be replayed", why))
            elif letter.letter_id in planned:
                results.append(ReplayResult(letter, "is the same letter", f"as {planned[letter.letter_id]}"))
            elif mark is not None and mark.state == "done":
                results.append(ReplayResult(letter, "was replayed", f"as {mark.target}"))
            elif letter.original in sent_before and letter.place not in named:
                note = "it was sent back before and could not be read again; mend the cause, then replay it by name"
                results.append(ReplayResult(letter, "came back", note))
            elif mark is not None and self._clock_ms() - mark.at_ms < UNSETTLED_S * 1000:
                note = f"a replay of it was cut off just now; try again in {UNSETTLED_S:.0f} s"
                results.append(ReplayResult(letter, "unsettled", note))
            elif mark is not None and (place := self._reader.find_sent(mark)) is not None:
                sent[letter.letter_id] = Mark(letter.letter_id, "done", self._clock_ms(), place)
                results.append(ReplayResult(letter, "was replayed", f"as {place}, by a replay that was cut off"))
            else:
                planned[letter.letter_id] = letter.place
                to_send.append(letter)
        return Plan(topic, to_send, results, list(sent.values()))

    def run(self, plan: Plan, check_lock: Callable[[], None]) -> Iterator[ReplayResult]:
        """Do it; gives what became of each letter. ``check_lock`` raises when the lock is lost.

        Raises:
            KafkaAway: the broker did not take everything; what was begun is settled by the next replay.
        """
        self._send([_mark_record(plan.topic, mark) for mark in plan.settled])
        yield from plan.results
        for start in range(0, len(plan.to_send), BATCH_LETTERS):
            check_lock()
            yield from self._run_batch(plan.topic, plan.to_send[start : start + BATCH_LETTERS])

    def _run_batch(self, topic: str, letters: Sequence[Letter]) -> Iterator[ReplayResult]:
        begun: list[Mark] = []
        records: list[Outgoing] = []
        for letter in letters:
            original = letter.original
            assert original is not None, "the plan leaves out what has no original place"
            _, content = self._reader.letter(letter.place)
            end = self._reader.end(original.topic, original.partition)
            begun.append(
                Mark(letter.letter_id, "begun", self._clock_ms(), Place(original.topic, original.partition, end))
            )
            headers = {
                REPLAY_OF_HEADER: str(letter.place),
                LETTER_ID_HEADER: letter.letter_id,
                "clawtrace.original": str(original),
                "clawtrace.reason": letter.reason,
            }
            records.append((original.topic, original.partition, content.key, content.value, headers))
        self._send([_mark_record(topic, mark) for mark in begun])
        offsets = self._send(records)
        done = [
            Mark(mark.letter_id, "done", self._clock_ms(), Place(mark.target.topic, mark.target.partition, offset))
            for mark, offset in zip(begun, offsets, strict=True)
        ]
        self._send([_mark_record(topic, mark) for mark in done])
        for letter, mark in zip(letters, done, strict=True):
            yield ReplayResult(letter, "replayed", f"as {mark.target}")

    def _send(self, records: Sequence[Outgoing]) -> list[int]:
        """Write records; return their offsets when the broker has all of them."""
        if not records:
            return []
        producer = self._producer = self._producer or self._make_producer()
        offsets: list[int] = [-1] * len(records)
        failures: list[str] = []

        def noting(number: int) -> Callable[[Any, Message], None]:
            def on_delivery(error: Any, message: Message) -> None:
                if error is not None:
                    failures.append(error.str())
                else:
                    offsets[number] = message.offset() or 0

            return on_delivery

        for number, (topic, partition, key, value, headers) in enumerate(records):
            producer.produce(
                topic,
                value,
                key,
                partition=partition,
                headers=[(name, text.encode(errors="replace")) for name, text in headers.items()],
                on_delivery=noting(number),
            )
        num_left = producer.flush(SEND_TIMEOUT_S + 1)
        if num_left or failures:
            reason = failures[0] if failures else "no answer"
            raise KafkaAway(
                f"Kafka at {self._bootstrap} did not take everything ({reason}). Nothing is sent twice: run the same "
                f"command again in {UNSETTLED_S:.0f} s"
            )
        return offsets

    def _make_producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "client.id": "clawtrace-dlq",
                "acks": "all",
                "enable.idempotence": True,
                "message.timeout.ms": int(SEND_TIMEOUT_S * 1000),
                "linger.ms": 0,
                "logger": logging.getLogger("librdkafka"),
            }
        )


def why_not(letter: Letter) -> str | None:
    """Why a letter cannot go back; None when it can."""
    if letter.original is None:
        return "it never was in a topic: the gateway could not read it. See its bytes with dlq show --raw"
    if letter.original.topic + DEAD_LETTER_SUFFIX != letter.place.topic:
        return f"it says that it is from {letter.original.topic}, whose letters do not lie in {letter.place.topic}"
    return None


def _mark_record(topic: str, mark: Mark) -> Outgoing:
    said = {"letter_id": mark.letter_id, "state": mark.state, "at_ms": mark.at_ms, "target": str(mark.target)}
    return topic, _MARKS_PARTITION, None, json.dumps(said).encode(), {MARK_HEADER: mark.state}
