"""Two writers of one table: upkeep may come in between, a second sink may not."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from trino.exceptions import TrinoQueryError

from infra.runtime.trino_connection import MAINTENANCE, connect
from lakehouse.contracts.tables import table_named
from lakehouse.maintenance.procedures import Upkeep
from lakehouse.sink.committer import Overtaken, Unprovisioned
from lakehouse.sink.progress import PROPERTY
from lakehouse.sink.rows import build_rows
from tests.integration.lakehouse.filling import commit_spans, committer_of, next_progress, span_rows
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.integration.lakehouse.test_exactly_once import Ledger

SPANS = table_named("spans")
MEETS_WITHIN_S = 120


def test_overtaken_committer_adds_nothing(lake: Lake) -> None:
    zombie = committer_of(lake, "spans")
    commit_spans(committer_of(lake, "spans"), rev=1)
    with pytest.raises(Overtaken):
        commit_spans(zombie, rev=1)
    assert lake.num_rows("spans") == 5
    # Having looked does not help it later: each commit is compared with the head it knew.
    wanted = next_progress(zombie, 2)
    files = zombie.write(build_rows(SPANS, span_rows(1, 5)["spans"], wanted.epoch))
    commit_spans(committer_of(lake, "spans"), rev=2)
    with pytest.raises(Overtaken):
        zombie.commit(files, wanted)
    assert lake.num_rows("spans") == 10


def test_with_stock_retries_the_same_rows_are_accepted_twice(lake: Lake) -> None:
    """The twin of the test above: shows that it bites, and why the property is checked at the start."""
    with lake.table("spans").transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4", "commit.retry.min-wait-ms": "10"})
    zombie = committer_of(lake, "spans")
    with pytest.raises(Unprovisioned):
        zombie.check()
    commit_spans(committer_of(lake, "spans"), rev=1)
    commit_spans(zombie, rev=1)
    assert lake.num_rows("spans") == 10


def test_commit_that_meets_optimize_is_made_again_with_the_same_files(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    for rev in range(3):
        commit_spans(committer, rev)
    wanted = next_progress(committer, 4)
    files = committer.write(build_rows(SPANS, span_rows(3, 5)["spans"], wanted.epoch))
    outcome = Upkeep(lake.upkeep_settings()).run("optimize", [SPANS])[0]
    assert outcome.error is None
    assert not outcome.skipped
    committer.commit(files, wanted)
    assert lake.num_rows("spans") == 20
    assert len(lake.table("spans").inspect.files()) == 2
    revisions = lake.rows("spans")["rev"].to_pylist()
    assert sorted(set(revisions)) == [0, 1, 2, 3]
    assert lake.progress("spans").epoch == 4


def test_progress_outlives_the_snapshots_that_brought_it(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    for rev in range(4):
        commit_spans(committer, rev)
    before = lake.progress("spans")
    upkeep = Upkeep(lake.upkeep_settings(upkeep_snapshot_retention="1m", upkeep_orphan_retention="1m"))
    assert upkeep.run("optimize", [SPANS])[0].error is None
    _expire_all_but_the_head(lake)
    (head,) = lake.table("spans").metadata.snapshots
    # The twin: whoever had kept it in the summaries of snapshots would find it nowhere now.
    assert head.summary is not None
    assert PROPERTY not in head.summary.additional_properties
    assert lake.progress("spans") == before
    assert before.sources["clawtrace.spans.v1"].next_offset == {0: 4}
    commit_spans(committer, rev=4)
    for procedure in ("expire_snapshots", "remove_orphan_files"):
        assert upkeep.run(procedure, [SPANS])[0].error is None
    assert lake.rows("spans").num_rows == 25


def _expire_all_but_the_head(lake: Lake, table: str = "spans") -> None:
    """What the procedure does, without waiting for snapshots to grow old."""
    floor = {f"{lake.stack.catalog_name}.expire_snapshots_min_retention": "0s"}
    cursor = connect(lake.stack, MAINTENANCE, session_properties=floor).cursor()
    statement = f'ALTER TABLE "{lake.namespace}"."{table}" EXECUTE expire_snapshots(retention_threshold => \'0s\')'
    try:
        cursor.execute(statement)
        cursor.fetchall()
    except TrinoQueryError as error:
        # The sink came first; the next turn does it.
        if "concurrent updates" not in error.message:
            raise


@pytest.mark.slow
def test_upkeep_amid_commits_costs_no_row_and_no_reader(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(8))
    sink = lake.start_sink()
    upkeep = Upkeep(lake.upkeep_settings())
    ledger.send(20)
    wait_until(ledger.is_drained, "the sink commits")
    reader = connect(lake.stack, MAINTENANCE).cursor()
    seen = num_rounds = 0
    stop = threading.Event()
    deadline_s = time.monotonic() + MEETS_WITHIN_S
    with ThreadPoolExecutor(1) as sending:
        sent = sending.submit(_send_until, ledger, stop)
        try:
            # When they meet is chance; that they do, and what comes of it, is not.
            while num_rounds < 3 or not sink.metric('clawtrace_sink_commit_conflicts_total{table="spans"}'):
                assert time.monotonic() < deadline_s, "the two never met"
                num_rounds += 1
                outcome = upkeep.run("optimize", [SPANS])[0]
                # The sink may come first; the next turn does it.
                assert outcome.error is None or "concurrent updates" in outcome.error
                _expire_all_but_the_head(lake)
                reader.execute(f'SELECT count(DISTINCT span_id) FROM "{lake.namespace}"."spans"')
                (found,) = reader.fetchone()
                assert found >= seen > -1
                seen = found
        finally:
            stop.set()
            sent.result()
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()


def _send_until(ledger: Ledger, stop: threading.Event) -> None:
    """Keep the sink committing, five times a second."""
    while not stop.wait(0.05):
        ledger.send(3)


def test_upkeep_leaves_a_table_without_new_data_alone(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    upkeep = Upkeep(lake.upkeep_settings())
    assert upkeep.run("optimize", [SPANS])[0].skipped
    commit_spans(committer, rev=0)
    assert upkeep.run("expire_snapshots", [SPANS])[0].skipped
    assert not upkeep.run("optimize", [SPANS])[0].skipped
    assert upkeep.run("optimize", [SPANS])[0].skipped
    commit_spans(committer, rev=1)
    assert not upkeep.run("optimize", [SPANS])[0].skipped
