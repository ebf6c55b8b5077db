"""GET /v1/live over real Kafka: own topics of the test, two tenants of different size in one partition."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from tests.integration.api.conftest import api_settings, new_tenant_id, served
from tests.integration.api.live_topics import (
    ALERTS,
    GUARD,
    SPANS,
    TRACES,
    OwnTopics,
    Watcher,
    alerts_of,
    own_topics,
    spans_of,
    traces_of,
    verdict_of,
    watching,
)
from tests.integration.doors import DEADLINE_S, wait_until


@dataclass(frozen=True)
class Live:
    """An API over topics of its own, and two tenants."""

    topics: OwnTopics
    api: httpx2.Client
    make_key: Callable[[str, str], str]
    small: str
    large: str

    def bearer(self, tenant_id: str, scope: str = "read") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.make_key(tenant_id, scope)}"}


LIMITS = {"api_live_max_behind": 100}


@pytest.fixture(scope="module")
def topics(stack: StackSettings) -> Iterator[OwnTopics]:
    with own_topics(stack) as made:
        yield made


@pytest.fixture(scope="module")
def live_api(stack: StackSettings, topics: OwnTopics) -> Iterator[httpx2.Client]:
    with served(api_settings(stack, topic_prefix=topics.prefix, **LIMITS)) as client:
        yield client


@pytest.fixture
def live(live_api: httpx2.Client, topics: OwnTopics, read_key: Callable[[str, str], str]) -> Live:
    made = Live(topics, live_api, read_key, new_tenant_id(), new_tenant_id())
    # The first look at the topics takes a moment. Another tenant looks: a seat is free a moment after it was left.
    headers = made.bearer(new_tenant_id())
    wait_until(lambda: _status(live_api, headers), lambda status: status == 200, "the window is there")
    return made


def _status(api: httpx2.Client, headers: dict[str, str]) -> int:
    with api.stream("GET", "/v1/live", headers=headers) as response:
        return response.status_code


def wait_for(watcher: Watcher, num: int) -> None:
    wait_until(lambda: len(watcher.events), lambda found: found >= num, f"{num} events")


# Revisions only grow within a partition, whoever asks for them.
_revs = iter(range(1, 10**9))


def test_each_kind_of_event_arrives(live: Live) -> None:
    with watching(live.api.base_url, live.bearer(live.small)) as watcher:
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "s1", input='{"secret": 1}'))
        live.topics.send(TRACES, 1, traces_of(live.small, next(_revs), "t1"))
        live.topics.send(ALERTS, 0, alerts_of(live.small, next(_revs), "a1"))
        live.topics.send(GUARD, 1, verdict_of(live.small, next(_revs), "v1"))
        wait_for(watcher, 4)
        found = {event.name: event.data for event in watcher.events}
    assert set(found) == {"span", "trace", "alert", "verdict"}
    assert found["span"]["span_id"] == "s1"
    assert found["span"]["started_at"].startswith("2026-05-28T")
    assert "secret" not in watcher.text
    assert (found["trace"]["trace_id"], found["trace"]["is_open"]) == ("t1", True)
    assert (found["alert"]["alert_id"], found["alert"]["state"]) == ("a1", "alert")
    assert (found["verdict"]["action"], found["verdict"]["scope_id"]) == ("abort", "agent")


def test_nobody_sees_a_byte_of_another_tenant(live: Live) -> None:
    with (
        watching(live.api.base_url, live.bearer(live.small)) as small,
        watching(live.api.base_url, live.bearer(live.large)) as large,
    ):
        for number in range(40):
            tenant = live.small if number % 10 == 0 else live.large
            live.topics.send(SPANS, 0, spans_of(tenant, next(_revs), f"{tenant}-{number}"))
        wait_for(small, 4)
        wait_for(large, 36)
        # What is sent last comes last: when it is there, everything is.
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "end"), spans_of(live.large, next(_revs), "end"))
        wait_for(small, 5)
        wait_for(large, 37)
    assert (len(small.events), len(large.events)) == (5, 37)
    assert live.large not in small.text
    assert live.small not in large.text


def test_filters(live: Live) -> None:
    headers = live.bearer(live.small)
    with (
        watching(live.api.base_url, headers, agent_id="other") as by_agent,
        watching(live.api.base_url, headers, trace_id="t2") as by_trace,
        watching(live.api.base_url, headers, kind=["alert", "trace"]) as by_kind,
    ):
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "x1"))
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "x2", agent_id="other"))
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "x3", trace_id="t2"))
        live.topics.send(TRACES, 0, traces_of(live.small, next(_revs), "t2"))
        for watcher, num in ((by_agent, 1), (by_trace, 2), (by_kind, 1)):
            wait_for(watcher, num)
    assert by_agent.span_ids() == ["x2"]
    assert sorted(event.name for event in by_trace.events) == ["span", "trace"]
    assert [event.name for event in by_kind.events] == ["trace"]
    assert live.api.get("/v1/live", headers=headers, params={"kind": "secret"}).status_code == 422


def test_a_stream_goes_on_from_every_event_without_gap_or_double(live: Live) -> None:
    """Also from the middle of a record, and over all partitions of all topics."""
    headers = live.bearer(live.small)
    with watching(live.api.base_url, headers) as whole:
        begin = whole.last_id
        for number in range(6):
            live.topics.send(SPANS, number % 2, spans_of(live.small, next(_revs), *(f"{number}{c}" for c in "abc")))
            live.topics.send(ALERTS, number % 2, alerts_of(live.small, next(_revs), f"a{number}"))
            live.topics.send(SPANS, number % 2, spans_of(live.large, next(_revs), f"foreign{number}"))
        wait_for(whole, 24)
    wanted = sorted(map(_name, whole.events))
    assert len(set(wanted)) == len(wanted) == 24
    for cut in range(0, 24, 2):
        last_id = whole.events[cut - 1].event_id if cut else begin
        with watching(live.api.base_url, {**headers, "Last-Event-ID": last_id}) as rest:
            wait_for(rest, 24 - cut)
            # One more, so that a double would have come before it.
        assert sorted(map(_name, whole.events[:cut] + rest.events)) == wanted


def _name(event: object) -> str:
    data = getattr(event, "data", {})
    return str(data.get("span_id") or data.get("alert_id"))


def test_repeats_of_the_stitcher_are_dropped(live: Live) -> None:
    rev = next(_revs)
    with watching(live.api.base_url, live.bearer(live.small)) as watcher:
        record, verdict = spans_of(live.small, rev, "once"), verdict_of(live.small, rev, "v-once")
        live.topics.send(SPANS, 0, record, record, spans_of(live.small, rev, "part", part=1), record)
        live.topics.send(GUARD, 0, verdict, verdict)
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "end"))
        wait_for(watcher, 4)
    assert watcher.span_ids() == ["once", "part", "end"]
    assert [event.name for event in watcher.events].count("verdict") == 1


def test_an_unreadable_record_stops_nothing(live: Live) -> None:
    with watching(live.api.base_url, live.bearer(live.small)) as watcher:
        live.topics.send(SPANS, 0, b"{broken", spans_of(live.small, next(_revs), "after"))
        wait_for(watcher, 1)
    assert watcher.span_ids() == ["after"]


def test_what_is_older_than_the_window_is_read_from_the_topics(
    live: Live, stack: StackSettings, topics: OwnTopics
) -> None:
    headers = live.bearer(live.small)
    with watching(live.api.base_url, headers) as watcher:
        begin = watcher.last_id
        ids = [f"old{number}" for number in range(30)]
        for number, span_id in enumerate(ids):
            records = spans_of(live.small, next(_revs), span_id), spans_of(live.large, next(_revs), f"no{number}")
            live.topics.send(SPANS, number % 2, *records)
        wait_for(watcher, 30)
        middle = watcher.events[10].event_id
    # A window that holds next to nothing: all of it has to come from the topics.
    tiny = api_settings(stack, topic_prefix=topics.prefix, api_live_tenant_bytes=2_000)
    with served(tiny) as api:
        wait_until(lambda: _status(api, headers), lambda status: status == 200, "the window is there")
        with watching(api.base_url, {**headers, "Last-Event-ID": begin}) as rest:
            wait_for(rest, 30)
            live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "new"))
            wait_for(rest, 31)
            assert sorted(rest.span_ids()) == sorted([*ids, "new"])
            assert "event: missed" not in rest.text
        with watching(api.base_url, headers, after=middle) as rest:
            wait_for(rest, 20)
            seen = sorted(watcher.span_ids()[:11] + rest.span_ids())
            assert seen == sorted([*ids, "new"])
            assert live.large not in rest.text


def test_an_id_of_another_life_of_the_topics_is_told(live: Live) -> None:
    with watching(live.api.base_url, live.bearer(live.small)) as watcher:
        far = "-".join(part if n != 1 else "ffffffff.ffffffff" for n, part in enumerate(watcher.last_id.split("-")))
    with watching(live.api.base_url, {**live.bearer(live.small), "Last-Event-ID": far}) as again:
        wait_for(again, 1)
        live.topics.send(SPANS, 0, spans_of(live.small, next(_revs), "later"))
        wait_for(again, 2)
    assert (again.events[0].name, again.events[0].data["num"]) == ("missed", None)
    assert again.span_ids() == ["later"]
    wrong = {**live.bearer(live.small), "Last-Event-ID": "nonsense"}
    assert live.api.get("/v1/live", headers=wrong).status_code == 422


def test_a_tenant_has_so_many_streams(live: Live, stack: StackSettings, topics: OwnTopics) -> None:
    headers, others = live.bearer(live.small), live.bearer(live.large)
    with served(api_settings(stack, topic_prefix=topics.prefix, api_live_streams_per_tenant=3)) as api:
        wait_until(lambda: _status(api, others), lambda status: status == 200, "the window is there")
        with (
            watching(api.base_url, headers),
            watching(api.base_url, headers),
            watching(api.base_url, headers),
        ):
            refused = api.get("/v1/live", headers=headers)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            wait_until(lambda: _status(api, others), lambda status: status == 200, "another has seats of its own")
        wait_until(lambda: _status(api, headers), lambda status: status == 200, "seats are free again")


def test_a_revoked_key_ends_the_stream(live: Live) -> None:
    admin, key = live.bearer(live.small, "admin"), live.make_key(live.small, "read")
    with watching(live.api.base_url, {"Authorization": f"Bearer {key}"}) as watcher:
        assert live.api.delete(f"/v1/keys/{key.split('_')[2]}", headers=admin).status_code == 204
        began_s = time.monotonic()
        assert watcher.is_over.wait(DEADLINE_S), "the stream goes on"
    print(f"stream ended {time.monotonic() - began_s:.1f} s after its key was revoked")


def test_signing_out_ends_the_stream(live: Live) -> None:
    with httpx2.Client(base_url=live.api.base_url, timeout=60, trust_env=False) as browser:
        browser.post("/v1/session", json={"key": live.make_key(live.small, "read")})
        cookie = f"clawtrace_session={browser.cookies['clawtrace_session']}"
        with watching(live.api.base_url, {"cookie": cookie}) as watcher:
            assert watcher.status == 200
            assert browser.delete("/v1/session", headers={"x-clawtrace-ui": "1"}).status_code == 204
            assert watcher.is_over.wait(DEADLINE_S), "the stream goes on"


def test_a_stream_lasts_so_long_and_says_when_to_come_back(live: Live, stack: StackSettings, topics: OwnTopics) -> None:
    with served(api_settings(stack, topic_prefix=topics.prefix, api_live_stream_s=1.0)) as api:
        headers = live.bearer(live.small)
        wait_until(lambda: _status(api, headers), lambda status: status == 200, "the window is there")
        with watching(api.base_url, headers) as watcher:
            assert watcher.is_over.wait(DEADLINE_S)
    assert watcher.text.rstrip().splitlines()[-2].startswith("retry: ")
