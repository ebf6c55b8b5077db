"""What the contracts can say comes out of the columns as it went in."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from lakehouse.catalog.schema import arrow_schema
from lakehouse.contracts.tables import TABLES, table_named
from lakehouse.sink.feeds import FEEDS, Feed, SeenState
from lakehouse.sink.rows import UnfitRow, build_rows, concat_columns
from tests.unit.lakehouse import records as make

ROOT = Path(__file__).resolve().parents[3]
EPOCH = 7
FEED_OF = {feed.topic: feed for feed in FEEDS}


def rows_of(topic: str, value: bytes, table: str, offset: int = 3) -> list[dict[str, Any]]:
    """Rows that a record gives to a table."""
    rows: list[dict[str, Any]] = table_of(topic, value, table, offset).to_pylist()
    return rows


def table_of(topic: str, value: bytes, table: str, offset: int = 3) -> pa.Table:
    """The same as an Arrow table."""
    feed = FEED_OF[topic]
    columns = feed.tables[table](feed.decode(value), offset, SeenState(0))
    return build_rows(table_named(table), columns, EPOCH)


def example_files() -> list[Path]:
    """Golden records of the topics that the sink reads."""
    folders = (ROOT / stage / "contracts" / "examples" for stage in ("producers", "stream_jobs"))
    files = [path for folder in folders for path in sorted(folder.rglob("*.json"))]
    return [path for path in files if feed_of_file(path) is not None]


def feed_of_file(path: Path) -> Feed | None:
    """Feed of the topic that an example is named after, or lies in a folder of."""
    for topic, feed in FEED_OF.items():
        if path.name.startswith(topic) or path.parent.name == topic:
            return feed
    return None


@pytest.mark.parametrize("path", example_files(), ids=lambda path: path.name)
def test_every_golden_example_gives_rows(path: Path) -> None:
    feed = feed_of_file(path)
    assert feed is not None
    for name in feed.tables:
        rows = table_of(feed.topic, path.read_bytes(), name)
        assert rows.schema == arrow_schema(table_named(name))
        rows.validate(full=True)


def test_events_keep_their_payload_and_their_batch() -> None:
    spool = make.spool_of(random.Random(1))
    rows = rows_of("clawtrace.events.v1", make.event_record(spool, 0, 3), "events")
    assert [row["seq"] for row in rows] == [1, 0, 2]  # sorted by trace first, events without one last
    first = rows[0]
    assert first["payload"] == '{"event":{"n":1},"ctx":{}}'
    assert first["trace_id"] == "t" * 32
    assert rows[1]["trace_id"] is None
    assert (first["spool_id"], first["source_name"], first["source_host_version"]) == (
        spool,
        "clawtrace-openclaw",
        "2026.3.1",
    )
    assert first["at"] == datetime(2026, 3, 4, 5, 0, 0, 1, tzinfo=UTC)
    assert first["event_date"] == date(2026, 3, 4)
    assert (first["rev"], first["epoch"]) == (3, EPOCH)


@pytest.mark.parametrize(
    ("at_us", "expected"),
    [(0, date(2020, 1, 1)), (2**53, date(2100, 1, 1)), (2**62, date(2100, 1, 1)), (make.AT_US, date(2026, 3, 4))],
)
def test_an_impossible_clock_is_clamped_and_kept(at_us: int, expected: date) -> None:
    batch = make.event_batch("spool", 0, 1)
    event = msgspec.structs.replace(batch.events[0], at_us=at_us)
    (row,) = rows_of("clawtrace.events.v1", make.encode(msgspec.structs.replace(batch, events=[event])), "events")
    assert row["event_date"] == expected
    assert row["at"].date() == expected
    assert row["at_us"] == at_us


def test_a_span_with_nothing_optional_has_nulls_not_zeros() -> None:
    span = make.span("t1", "s1", 4, parent_span_id=None, path=[], ended_at_us=None, cost_usd=None, input_tokens=None)
    (row,) = rows_of("clawtrace.spans.v1", make.encode(make.span_batch(4, [span])), "spans")
    for name in ("parent_span_id", "ended_at", "cost_usd", "input_tokens", "error", "tool_name", "run_cost_usd"):
        assert row[name] is None, name
    assert row["path"] == []
    assert row["flags"] == []
    assert row["trace_date"] == date(2026, 3, 4)


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("0.000123", "0.000123"),
        ("0", "0"),
        ("123456789012.123456789012", "123456789012.123456789012"),
        ("0.0000000000014", "0.000000000001"),
        ("1E-7", "0.0000001"),
        ("1E+3", "1000"),
    ],
)
def test_money_stays_exact_to_twelve_decimals(said: str, stored: str) -> None:
    span = make.span("t1", "s1", 4, cost_usd=Decimal(said))
    (row,) = rows_of("clawtrace.spans.v1", make.encode(make.span_batch(4, [span])), "spans")
    assert row["cost_usd"] == Decimal(stored)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trace_date", "yesterday"),
        ("cost_usd", Decimal("NaN")),
        ("cost_usd", Decimal("1E+20")),
        ("input_tokens", 2**63),
    ],
)
def test_a_value_that_fits_no_column_is_named(field: str, value: object) -> None:
    span = msgspec.structs.replace(make.span("t1", "s1", 4), **{field: value})
    feed = FEED_OF["clawtrace.spans.v1"]
    columns = feed.tables["spans"](make.span_batch(4, [span]), 0, SeenState(0))
    with pytest.raises(UnfitRow, match=rf"spans\.{field}"):
        build_rows(table_named("spans"), columns, EPOCH)


def test_maps_and_nested_values() -> None:
    (alert,) = rows_of("clawtrace.alerts.v1", make.encode(make.alert_batch(4)), "alerts")
    assert alert["labels"] == [("run_id", "r1")]
    (card,) = rows_of("clawtrace.cards.v1", make.encode(make.card_batch(4)), "cards")
    assert msgspec.json.decode(card["top_cost_spans"]) == [
        {"span_id": "s1", "role_hint": "tool_call", "cost_usd": "0.25"}
    ]
    assert card["sub_agents"] == "[]"


def test_edges_are_written_when_the_parent_was_set() -> None:
    root = make.span("t1", "root", 4, parent_span_id=None, path=[])
    child = make.span("t1", "child", 4, parent_span_id="root")
    later = make.span("t1", "child", 5, parent_span_id="root", link_rev=4)
    record = make.encode(make.span_batch(5, [root, child, later]))
    edges = {
        (row["kind"], row["src_id"], row["dst_id"], row["rev"])
        for row in rows_of("clawtrace.spans.v1", record, "edges")
    }
    assert edges == {
        ("HAS_SPAN", "t1", "root", 4),
        ("HAS_SPAN", "t1", "child", 4),
        ("CHILD_OF", "child", "root", 4),
    }


def test_owners_and_extents_are_written_once_a_while() -> None:
    seen = SeenState.refreshed_every(60)
    feed = FEED_OF["clawtrace.traces.v1"]
    batches = [make.trace_batch(rev, [make.trace("t1", rev)]) for rev in (1, 2)]
    later = make.trace("t1", 3, ended_at_us=make.AT_US + 120_000_000)
    batches.append(make.trace_batch(3, [later]))
    edges = [row for batch in batches for row in feed.tables["edges"](batch, 0, seen)["kind"]]
    assert edges == ["HAS_AGENT", "OWNS"]
    agents = [row for batch in batches for row in feed.tables["agents"](batch, 0, seen)["rev"]]
    assert agents == [1, 3]
    columns = feed.tables["tenants"](batches[0], 0, seen)
    (tenant,) = build_rows(table_named("tenants"), columns, EPOCH).to_pylist()
    assert tenant["first_seen_at"] == datetime(2026, 3, 4, 5, 0, 0, 1, tzinfo=UTC)


def test_has_agent_belongs_to_no_day() -> None:
    rows = rows_of("clawtrace.traces.v1", make.encode(make.trace_batch(1, [make.trace("t1", 1)])), "edges")
    by_kind = {row["kind"]: row for row in rows}
    assert by_kind["HAS_AGENT"]["trace_date"] is None
    assert by_kind["OWNS"]["trace_date"] == date(2026, 3, 4)


def test_every_table_is_fed_and_every_feed_names_its_sources() -> None:
    fed = {(table, feed.topic) for feed in FEEDS for table in feed.tables}
    assert fed == {(table.name, topic) for table in TABLES for topic in table.sources}


def test_records_of_one_commit_are_joined() -> None:
    feed = FEED_OF["clawtrace.spans.v1"]
    parts = [
        feed.tables["spans"](make.span_batch(rev, [make.span(f"t{9 - rev}", "s", rev)]), 0, SeenState(0))
        for rev in range(3)
    ]
    rows = build_rows(table_named("spans"), concat_columns(parts), EPOCH)
    assert rows["trace_id"].to_pylist() == ["t7", "t8", "t9"]
