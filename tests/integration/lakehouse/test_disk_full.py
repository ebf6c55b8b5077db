"""The disk is full, and then it is not: the sink waits, nothing is spoilt, and it goes on by itself."""

import random
import resource

from tests.integration.lakehouse.lake import Lake, wait_until
from tests.integration.lakehouse.test_exactly_once import Ledger

# Of all tables: the one that is due first when the room ends keeps on trying, and any can be that one.
RETRIES = "clawtrace_sink_retries_total"
# Less than any Parquet file: each write of one fails, as on a full disk.
NO_ROOM_BYTES = 512


def test_sink_waits_for_room_and_keeps_what_it_has(lake: Lake) -> None:
    ledger = Ledger(lake, random.Random(9))
    sink = lake.start_sink()
    ledger.send(20)
    wait_until(ledger.is_drained, "the sink commits")
    num_before = lake.num_rows("events")
    room = resource.prlimit(sink.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(sink.process.pid, resource.RLIMIT_FSIZE, (NO_ROOM_BYTES, room[1]))
    ledger.send(40)
    wait_until(lambda: sink.metric(RETRIES) >= 2, "it tries again and again")
    assert sink.process.poll() is None
    assert lake.num_rows("events") == num_before
    assert lake.rows("events").num_rows == num_before, "what was there can be read"
    resource.prlimit(sink.process.pid, resource.RLIMIT_FSIZE, room)
    wait_until(ledger.is_drained, "it goes on by itself")
    ledger.check()
