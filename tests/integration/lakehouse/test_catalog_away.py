"""Postgres goes away, comes back, or takes a commit and does not say so."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from lakehouse.sink.progress import PROPERTY, TableProgress
from tests.integration.lakehouse.cut_line import CutLine
from tests.integration.lakehouse.lake import Lake, SinkChild, wait_until
from tests.integration.lakehouse.test_exactly_once import Ledger

# The tables that the ledger's events lead to.
FILLED = ("events", "spans", "traces", "edges")
RETRIES = "clawtrace_sink_retries_total"


@pytest.fixture
def line(lake: Lake) -> Iterator[CutLine]:
    """A line to the stack's Postgres."""
    line = CutLine(make_url(lake.stack.database_url()).port or 0)
    yield line
    line.close()


def _start_sink(lake: Lake, line: CutLine) -> SinkChild:
    through_line = make_url(lake.stack.database_url()).set(port=line.port)
    return lake.start_sink(CLAWTRACE_POSTGRES_DSN=through_line.render_as_string(hide_password=False))


def test_commit_whose_answer_is_lost_is_not_made_twice(lake: Lake, line: CutLine) -> None:
    ledger = Ledger(lake, random.Random(5))
    sink = _start_sink(lake, line)
    ledger.send(20)
    wait_until(ledger.is_drained, "the sink commits")
    line.num_answers_to_lose = 3
    ledger.send(60)
    wait_until(lambda: line.num_answers_lost == 3, "three answers are lost")
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()
    assert "commit_outcome_unknown" in sink.log()
    assert "commit_had_landed" in sink.log()
    assert "overtaken" not in sink.log()
    # A commit that is asked for twice would have taken a second epoch, or a second snapshot.
    for name in FILLED:
        # One look for both: the sink goes on, and notes how far it has read.
        table = lake.table(name)
        assert TableProgress.from_json(table.properties[PROPERTY]).epoch == len(table.metadata.snapshots)


def test_sink_waits_while_the_catalog_is_away_and_keeps_its_files(lake: Lake, line: CutLine) -> None:
    ledger = Ledger(lake, random.Random(6))
    sink = _start_sink(lake, line)
    ledger.send(20)
    wait_until(lambda: ledger.is_drained() and lake.num_rows("tenants") == 1, "the sink commits all tables")
    line.cut()
    ledger.send(60)
    wait_until(lambda: sink.metric(RETRIES) >= 2, "the sink tries again")
    line.mend()
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()
    # The files written before the cut are the ones that were committed: none lies beside the table.
    for name in FILLED:
        table = lake.table(name)
        named = {path.rpartition("/")[2] for path in table.inspect.files()["file_path"].to_pylist()}
        folder = table.location().removeprefix("file://")
        assert {path.name for path in Path(folder).rglob("*.parquet")} == named, name
