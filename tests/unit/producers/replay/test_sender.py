"""The sender keeps at it until a batch is taken, and stops with words when it never will be."""

from collections.abc import Callable

import httpx2
import msgspec
import pytest

from producers.contracts.wire import WireBatch
from producers.replay.capture import read_capture, wire_batches
from producers.replay.sender import Pacing, ReplayFailed, replay_capture
from tests.captures import HOOK_FILES

MULTI_TOOL = HOOK_FILES["multi-tool"]
Answer = Callable[[httpx2.Request], httpx2.Response]


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def pacing(self, speed: float = 0.0) -> Pacing:
        return Pacing(speed=speed, give_up_after_s=60, sleep=self.sleep, clock=lambda: self.now_s)


def gateway(*answers: Answer) -> tuple[httpx2.Client, list[bytes]]:
    """A client whose far end answers from a list, then takes everything; and the bodies it was sent."""
    bodies: list[bytes] = []
    left = list(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        bodies.append(request.content)
        assert request.headers["authorization"] == "Bearer k"
        return left.pop(0)(request) if left else taken(request)

    return httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://gateway"), bodies


def taken(request: httpx2.Request) -> httpx2.Response:
    num_events = len(msgspec.json.decode(request.content, type=WireBatch).events)
    return httpx2.Response(202, json={"accepted": num_events, "rejected": []})


def refused(status: int, retry_after: str | None = None) -> Answer:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda _: httpx2.Response(status, headers=headers, json={"detail": "the reason"})


def unreachable(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("refused", request=request)


def test_all_is_sent_in_order() -> None:
    client, bodies = gateway()
    heard: list[int] = []
    report = replay_capture(MULTI_TOOL, None, client, key="k", batch_events=10, on_batch=heard.append)
    capture = read_capture(MULTI_TOOL)
    assert bodies == [body for body, _ in wire_batches(capture, 10)]
    assert report.num_accepted == report.num_events == sum(heard) == len(capture.events) == 49
    assert (report.num_batches, report.num_retries, report.rejected) == (5, 0, [])


def test_the_same_batch_goes_again_after_the_time_asked_for() -> None:
    time = Time()
    client, bodies = gateway(refused(429, "3"), refused(503, "2"), unreachable, refused(503))
    report = replay_capture(MULTI_TOOL, None, client, key="k", pacing=time.pacing())
    assert time.slept_s == [3, 2, 1, 1]
    assert len(set(bodies)) == 1
    assert report.num_retries == 4
    assert report.num_accepted == 49


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422, 500])
def test_what_will_never_be_taken_is_not_tried_again(status: int) -> None:
    client, bodies = gateway(refused(status))
    with pytest.raises(ReplayFailed, match=f"{status}: the reason"):
        replay_capture(MULTI_TOOL, None, client, key="k", pacing=Time().pacing())
    assert len(bodies) == 1


def test_it_gives_up_in_words_when_the_gateway_stays_away() -> None:
    time = Time()
    client, _ = gateway(*[unreachable] * 1_000)
    with pytest.raises(ReplayFailed, match="make up"):
        replay_capture(MULTI_TOOL, None, client, key="k", pacing=time.pacing())
    assert 55 <= time.now_s <= 60


def test_in_real_time_each_event_leaves_at_its_turn() -> None:
    time = Time()
    client, bodies = gateway()
    replay_capture(MULTI_TOOL, None, client, key="k", pacing=time.pacing(speed=2))
    events = read_capture(MULTI_TOOL).events
    assert len(bodies) == len(events)
    assert time.now_s == pytest.approx((events[-1].at_us - events[0].at_us) / 1e6 / 2)


def test_rejected_events_are_numbered_over_the_whole_capture() -> None:
    def rejecting(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(202, json={"accepted": 9, "rejected": [{"index": 4, "error": "e"}]})

    client, _ = gateway(rejecting, rejecting)
    report = replay_capture(MULTI_TOOL, None, client, key="k", batch_events=10)
    assert [item.index for item in report.rejected] == [4, 14]
