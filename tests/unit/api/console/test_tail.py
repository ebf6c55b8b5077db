"""`clawtrace tail`: goes on without a gap, says what was missed, ends when waiting would not help."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.client import EXIT_AWAY, EXIT_QUESTION, ApiClient, ApiError, Door
from api.console.follow import LIVE_PATH, Follower
from api.console.tail import tail_app
from tests.unit.api.console.spoken_api import Document, Reply, SpokenApi, Stream, event, spoken_api

ROOT = Path(__file__).resolve().parents[4]
ENDS_WITHIN_S = 120.0
REVOKED = Document({"detail": "the key was revoked"}, 401)
AWAY = Document({"detail": "Kafka does not answer"}, 503, {"Retry-After": "7"})


def alert(number: int, message: str = "Too much.") -> dict[str, Any]:
    return {
        "alert_id": f"a{number}",
        "at": "2026-11-23T14:00:00Z",
        "agent_id": "office-mac",
        "severity": "critical",
        "state": "alert",
        "message": message,
    }


def alerts(*numbers: int) -> bytes:
    return b"".join(event("alert", alert(number), f"id{number}") for number in numbers)


class Followed:
    """A follower with what it said and how long it waited."""

    def __init__(self, api: SpokenApi) -> None:
        self.said: list[str] = []
        self.waited: list[float] = []
        self.follower = Follower(
            ApiClient(Door(api.url, "key")), {"kind": ["alert"]}, say=self.said.append, wait=self.waited.append
        )

    def take(self, num: int) -> list[str]:
        return [json.loads(it.data)["alert_id"] for it in islice(self.follower.events(), num)]


@pytest.fixture
def live() -> Iterator[SpokenApi]:
    with spoken_api({}) as api:
        yield api


def follow(api: SpokenApi, *replies: Reply) -> Followed:
    api.replies[LIVE_PATH] = list(replies)
    return Followed(api)


def test_it_goes_on_behind_the_last_event_that_it_had_whole(live: SpokenApi) -> None:
    half = event("alert", alert(3), "id3")[:-9]
    one = follow(live, Stream(alerts(1, 2) + half, is_cut=True), Stream(alerts(3, 4)), Stream(alerts(5)))
    assert one.take(5) == ["a1", "a2", "a3", "a4", "a5"]
    assert live.last_event_ids() == [None, "id2", "id4"]
    assert all("kind=alert" in path for path, _, _ in live.asked)
    assert "lost" in one.said[0]
    assert "Connected again" in one.said[1]
    # A stream that ended in order was no loss.
    assert len(one.said) == 2


def test_an_id_without_an_event_moves_it_on_too(live: SpokenApi) -> None:
    one = follow(live, Stream(b"retry: 250\nid: far\n\n: nothing new\nid: further\n\n"), Stream(alerts(1)))
    assert one.take(1) == ["a1"]
    assert live.last_event_ids() == [None, "further"]
    assert one.waited == [0.25]


def test_it_waits_as_long_as_it_is_told_and_ever_longer(live: SpokenApi) -> None:
    cut = Stream(alerts(1), is_cut=True)
    one = follow(live, cut, AWAY, Document({}, 500), Document({}, 500), Stream(alerts(2)))
    assert one.take(2) == ["a1", "a2"]
    assert one.waited == [0.5, 7.0, 2.0, 4.0]
    assert len(one.said) == 2


def test_what_waiting_cannot_mend_ends_it(live: SpokenApi) -> None:
    one = follow(live, Stream(alerts(1)), REVOKED)
    with pytest.raises(ApiError, match="revoked") as caught:
        one.take(2)
    assert caught.value.exit_code == EXIT_QUESTION
    with pytest.raises(ApiError, match="Kafka") as caught:
        follow(live, AWAY).take(1)
    assert caught.value.exit_code == EXIT_AWAY


def tail(api: SpokenApi, *arguments: str) -> Result:
    return CliRunner().invoke(tail_app, ["--url", api.url, "--key", "k", *arguments])


def test_lines_for_people(live: SpokenApi) -> None:
    hostile = "Too \x1b[2Jmuch\r of \u202eit."
    missed = event("missed", {"num": 12, "from": "2026-11-23T14:00:01Z", "to": "2026-11-23T14:00:09Z"}, "id2")
    verdict = {"issued_at": "2026-11-23T14:00:02Z", "agent_id": "office-mac", "action": "abort", "scope": "run"}
    verdict |= {"scope_id": "r1", "reason": "It loops."}
    body = event("alert", alert(1, hostile), "id1") + missed + event("verdict", verdict, "id3")
    live.replies[LIVE_PATH] = [Stream(body)]
    done = tail(live, "--limit", "2")
    assert done.exit_code == 0, done.output
    first, second, third = done.stdout.splitlines()
    assert first == "14:00:00  alert    office-mac  critical alert  Too [2Jmuch of it.  a1"
    assert "12 events were passed over, from 2026-11-23 14:00:01 to 2026-11-23 14:00:09" in second
    assert third == "14:00:02  verdict  office-mac  abort run r1  It loops."
    assert done.stderr == "2 events; at least 12 were missed.\n"


def test_lines_for_programs(live: SpokenApi) -> None:
    live.replies[LIVE_PATH] = [Stream(alerts(1, 2))]
    done = tail(live, "--json", "--limit", "2", "--after", "id0", "--trace", "t/1", "--kind", "alert")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["event"], line["id"], line["data"]["alert_id"]) for line in lines] == [
        ("alert", "id1", "a1"),
        ("alert", "id2", "a2"),
    ]
    assert live.last_event_ids() == ["id0"]
    assert "trace_id=t%2F1" in live.asked[0][0]


def test_a_kind_that_there_is_not_is_told_so(live: SpokenApi) -> None:
    done = tail(live, "--kind", "colour")
    assert done.exit_code == EXIT_QUESTION
    assert not live.asked


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """What is started in the background of a shell is deaf to Ctrl-C, and so is what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_interrupts")
def test_ctrl_c_ends_with_0(live: SpokenApi) -> None:
    # The stream is read again and again, and has nothing new.
    live.replies[LIVE_PATH] = [Stream(alerts(1)), Stream(b"retry: 100\nid: id1\n\n")]
    environment = {**os.environ, "CLAWTRACE_API_URL": live.url, "CLAWTRACE_READ_KEY": "k"}
    command = [sys.executable, "-m", "api.cli", "tail", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        # Whatever happens, reading what it says comes to an end.
        killer = threading.Timer(ENDS_WITHIN_S, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["id"] == "id1"
            while len(live.asked) < 2:
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
            assert process.stdout.read() == ""
        finally:
            killer.cancel()
            process.kill()
