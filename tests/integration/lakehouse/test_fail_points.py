"""Kill the sink at each of its named places, one after another; each record's rows are in the tables once."""

import random
import signal
from pathlib import Path

import pytest

from infra.runtime.fail_points import POINTS
from tests.integration.lakehouse.lake import DEADLINE_S, Lake, wait_until
from tests.integration.lakehouse.test_exactly_once import Ledger

PLACES = [point for point in POINTS if point.startswith("sink.")]
# At the second pass of a place one table has its new pointer and the next is under way.
PASSES = {"sink.metadata_written": 2, "sink.swapped": 2}
NUM_RECORDS = 20


@pytest.mark.slow
def test_killed_at_every_place_it_loses_nothing_and_doubles_nothing(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(41))
    for place in PLACES:
        ledger.send(NUM_RECORDS)
        sink = lake.start_sink(CLAWTRACE_FAIL_POINT=f"{place}:{PASSES.get(place, 1)}")
        assert sink.process.wait(DEADLINE_S) == -signal.SIGKILL, f"{place}: {sink.log()}"
        assert f'"point": "{place}"' in sink.log()
    ledger.send(NUM_RECORDS)
    lake.start_sink()
    wait_until(ledger.is_drained, "all tables have their rows")
    ledger.check()
    # What died after writing files left some that no table names: that is all that is left over.
    files = lake.table("events").inspect.files()["file_path"].to_pylist()
    named = {path.rpartition("/")[2] for path in files}
    found = {path.name for path in Path(lake.table("events").location().removeprefix("file://")).rglob("*.parquet")}
    assert named < found
