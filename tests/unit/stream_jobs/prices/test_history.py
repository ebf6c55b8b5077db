"""From the tables to the stitcher and back: what would change, what is asked for, and what then has changed."""

import re
from datetime import date
from decimal import Decimal
from typing import Any

import httpx2
import msgspec
import pytest

from api.sqlguard.admit import admit_sql
from api.sqlguard.manifest import view_columns
from producers.contracts.normalise import normalise_event
from producers.contracts.pricing.book import PriceBook
from producers.contracts.wire import WireBatch, WireEvent
from stream_jobs.prices.history import COLUMNS, ROWS_PER_QUESTION, HistoryAway, find_changes
from stream_jobs.prices.reprice import NotSent, in_words, report_of, request_bodies, send_changes
from tests.unit.stream_jobs.core.stitching import PRICES, Replay, events_of, lines_of
from tests.unit.stream_jobs.core.test_cost_hour import PRICER, with_writes

DAY = date(2026, 11, 22)
NEW = PriceBook.from_toml(
    '[[price]]\nprovider = "fake"\nmodel = "*"\ninput_usd_per_mtok = "4"\noutput_usd_per_mtok = "20"\n'
)


class Stack:
    """An API that answers, behind the real guard, from what a stitcher has sent, and a gateway that feeds it."""

    def __init__(self, pricer: PriceBook = PRICES) -> None:
        self.replay = Replay(pricer=pricer).feed_each(events_of(lines_of("subagent")), 7)
        self.questions: list[str] = []
        self.requests = 0
        self.answers: list[httpx2.Response] = []

    def ask(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer read-key"
        sql = msgspec.json.decode(request.content)["sql"]
        self.questions.append(sql)
        admit_sql(sql, view_columns(), 2 * ROWS_PER_QUESTION)
        after = re.search(r"span_id > '([^']*)'", sql)
        assert after is not None
        calls = sorted((it for it in self.replay.of_kind("model_call") if it.usage_source), key=lambda it: it.span_id)
        rows = [self.row(it) for it in calls if it.span_id > after[1]][:ROWS_PER_QUESTION]
        columns = [{"name": name, "type": "any"} for name in COLUMNS]
        return httpx2.Response(200, json={"columns": columns, "rows": rows, "truncated": False, "snapshots": {}})

    def row(self, span: Any) -> list[Any]:
        values = {name: getattr(span, name, None) for name in COLUMNS}
        values["started_at"] = f"2026-11-22T12:00:00.{span.started_at_us % 1_000_000:06d}Z"
        values["cost_usd"] = None if span.cost_usd is None else f"{span.cost_usd:.12f}"
        return list(values.values())

    def take(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        if self.answers:
            return self.answers.pop(0)
        batch = msgspec.json.decode(request.content, type=WireBatch)
        events = [normalise_event(batch.spool_id, msgspec.json.decode(raw, type=WireEvent)) for raw in batch.events]
        # A spool of its own: its numbers begin anew, which the captured one's have passed.
        self.replay.feed([msgspec.structs.replace(event, seq=10_000 + event.seq) for event in events])
        return httpx2.Response(202, json={"accepted": len(events), "rejected": []})

    def api(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.ask), base_url="http://api")

    def gateway(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self.take), base_url="http://gateway")


def test_what_was_asked_for_has_changed_and_nothing_is_left() -> None:
    stack = Stack()
    num_calls = len(stack.replay.of_kind("model_call"))
    changes = list(find_changes(stack.api(), "read-key", NEW, DAY, DAY))
    assert len(changes) == num_calls
    stack.replay.pricer = NEW
    assert send_changes(stack.gateway(), "ingest-key", changes, "test") == 1
    after = {it.span_id: it.cost_usd for it in stack.replay.of_kind("model_call")}
    assert after == {it.span_id: it.now_usd for it in changes}
    assert list(find_changes(stack.api(), "read-key", NEW, DAY, DAY)) == []


def test_an_hours_writes_are_told_at_their_own_price() -> None:
    stack = Stack(PRICER)
    stack.replay = Replay(pricer=PRICER).feed_each(events_of(with_writes(40)), 7)
    dearer = PriceBook.from_toml(
        '[[price]]\nprovider = "fake"\nmodel = "*"\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n'
        'cache_read_usd_per_mtok = "0.3"\ncache_write_usd_per_mtok = "3.75"\ncache_write_1h_usd_per_mtok = "9"\n'
    )
    changes = list(find_changes(stack.api(), "read-key", dearer, DAY, DAY))
    assert len(changes) == len(stack.replay.of_kind("model_call"))
    for change in changes:
        assert change.now_usd is not None
        assert change.was_usd is not None
        assert change.now_usd - change.was_usd == 40 * Decimal(9 - 6) / 1_000_000


def test_a_dry_run_says_the_dollars_by_model() -> None:
    stack = Stack()
    changes = list(find_changes(stack.api(), "read-key", NEW, DAY, DAY))
    report = report_of(changes)
    assert report["calls"] == len(changes)
    assert Decimal(report["was_usd"]) == sum(it.was_usd for it in changes if it.was_usd)
    assert Decimal(report["now_usd"]) == sum(it.now_usd for it in changes if it.now_usd)
    assert [it["model"] for it in report["models"]] == sorted({it.model for it in changes})
    assert f"{len(changes)} calls of box-1: ${report['was_usd']} -> ${report['now_usd']}" in in_words(report)


def test_calls_without_a_price_are_counted() -> None:
    stack = Stack(PriceBook())
    changes = list(find_changes(stack.api(), "read-key", NEW, DAY, DAY))
    report = report_of(changes)
    assert sum(it["were_unpriced"] for it in report["models"]) == len(changes) > 0
    assert "had no price" in in_words(report)
    lost = report_of(list(find_changes(Stack().api(), "read-key", PriceBook(), DAY, DAY)))
    assert sum(it["get_unpriced"] for it in lost["models"]) == len(changes)
    assert "lose theirs" in in_words(lost)


def test_today_s_price_is_left_alone() -> None:
    changes = list(find_changes(Stack().api(), "read-key", PRICES, DAY, DAY))
    assert changes == []
    assert "nothing to do" in in_words(report_of(changes))


def test_the_question_names_days_and_agent_safely() -> None:
    stack = Stack()
    list(find_changes(stack.api(), "read-key", NEW, date(2026, 11, 1), DAY, "it's"))
    (sql,) = stack.questions
    assert "DATE '2026-10-25' AND DATE '2026-11-22'" in sql
    assert "started_at >= TIMESTAMP '2026-11-01 00:00:00 UTC'" in sql
    assert "started_at < TIMESTAMP '2026-11-23 00:00:00 UTC'" in sql
    assert "agent_id = 'it''s'" in sql


def test_an_api_that_refuses_is_an_error() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(403, text="no")

    def away(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("away")

    for answer, said in ((refuse, "answered 403"), (away, "does not answer")):
        client = httpx2.Client(transport=httpx2.MockTransport(answer), base_url="http://api")
        with pytest.raises(HistoryAway, match=said):
            list(find_changes(client, "read-key", NEW, DAY, DAY))


def test_a_request_is_sent_again_under_the_same_ids_until_it_is_taken() -> None:
    stack = Stack()
    changes = list(find_changes(stack.api(), "read-key", NEW, DAY, DAY))
    stack.replay.pricer = NEW
    stack.answers = [httpx2.Response(503), httpx2.Response(429)]
    waits: list[float] = []
    assert send_changes(stack.gateway(), "key", changes, "test", sleep=waits.append) == 1
    assert (stack.requests, len(waits)) == (3, 2)
    assert stack.replay.counts["repriced_calls"] == len(changes)


def test_a_gateway_that_refuses_or_stays_away_is_an_error() -> None:
    stack = Stack()
    changes = list(find_changes(stack.api(), "read-key", NEW, DAY, DAY))
    stack.answers = [httpx2.Response(401, text="unknown key")]
    with pytest.raises(NotSent, match="401: unknown key"):
        send_changes(stack.gateway(), "key", changes, "test")
    stack.answers = [httpx2.Response(202, json={"accepted": 0, "rejected": [{"index": 0, "error": "bad"}]})]
    with pytest.raises(NotSent, match="refused the request: bad"):
        send_changes(stack.gateway(), "key", changes, "test")
    stack.answers = [httpx2.Response(503)] * 100
    clock = iter(range(0, 10_000, 20))
    with pytest.raises(NotSent, match="answered 503; gave up after 60 s"):
        send_changes(stack.gateway(), "key", changes, "test", sleep=lambda _: None, clock=lambda: float(next(clock)))


def test_many_calls_are_asked_for_in_several_events_of_one_spool() -> None:
    change = list(find_changes(Stack().api(), "read-key", NEW, DAY, DAY))[0]  # noqa: RUF015 -- the first will do
    bodies = list(request_bodies([change] * 1_001, "0b9d1c9e-6f6c-4d86-a1a5-6f0f4b8f7a10", "test", 1))
    assert [len(body["events"][0]["event"]["spans"]) for body in bodies] == [500, 500, 1]
    assert [body["events"][0]["seq"] for body in bodies] == [0, 1, 2]
    assert len({body["spool_id"] for body in bodies}) == 1
