"""Which tables a sink may fill without the others."""

import pytest

from lakehouse.contracts.tables import TABLES
from lakehouse.settings import SinkSettings
from lakehouse.sink.feeds import FEEDS, TablesTornApart, feeds_of
from lakehouse.sink.process import NeedsPerson, SinkProcess

RECORDS_OF_SPANS = "spans,edges,traces,agents,tenants"


def test_without_names_a_sink_fills_all() -> None:
    assert feeds_of("") == FEEDS
    assert {name for feed in feeds_of(" , ") for name in feed.tables} == {table.name for table in TABLES}


def test_shares_that_leave_nothing_out() -> None:
    shares = [feeds_of(names) for names in ("events", RECORDS_OF_SPANS, "alerts, cards", "scores", "verdicts")]
    assert sorted(feed.topic for share in shares for feed in share) == sorted(feed.topic for feed in FEEDS)


@pytest.mark.parametrize(("names", "told"), [("spans", "edges"), ("traces,events", "agents"), ("events,spam", "spam")])
def test_tables_of_one_topic_stay_together(names: str, told: str) -> None:
    with pytest.raises(TablesTornApart, match=told):
        feeds_of(names)
    with pytest.raises(NeedsPerson, match="CLAWTRACE_SINK_TABLES"):
        SinkProcess(SinkSettings(sink_tables=names))
