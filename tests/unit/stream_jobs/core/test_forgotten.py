"""What comes for a run when part of what was known of it may be gone."""

import time
from decimal import Decimal
from pathlib import Path

from faust.stores.rocksdb import RocksDBOptions

from producers.contracts.event import Event
from stream_jobs.core.state import KEPT_DAYS, REFUSED_AFTER_US
from tests.unit.stream_jobs.core.stitching import Replay, events_of, lines_of
from tests.unit.stream_jobs.core.test_cost_reprice import NEW, ask

BEGAN_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
EXPIRES_WITHIN_S = 60.0


def half_told() -> tuple[Replay, list[Event]]:
    """A run of which the first half came, and the other half."""
    events = events_of(lines_of("subagent"))
    replay = Replay(now_us=BEGAN_US)
    middle = len(events) // 2
    replay.feed(events[:middle])
    return replay, events[middle:]


def test_what_comes_in_time_belongs_to_its_run() -> None:
    replay, rest = half_told()
    replay.now_us += REFUSED_AFTER_US
    replay.feed(rest)
    whole = Replay()
    whole.feed(events_of(lines_of("subagent")))
    assert replay.rejects == []
    assert {key: trace.cost_usd for key, trace in replay.traces.items()} == {
        key: trace.cost_usd for key, trace in whole.traces.items()
    }


def test_what_comes_later_changes_nothing_and_says_why() -> None:
    replay, rest = half_told()
    before = dict(replay.traces)
    known = {span.run_id for span in replay.spans.values()}
    replay.counts.clear()
    replay.now_us += REFUSED_AFTER_US + SECOND_US
    late = [event for event in rest if event.run_id in known]
    replay.feed(late)
    assert len(replay.rejects) == len(late) - replay.counts["ignored"] > 0
    assert f"for {KEPT_DAYS - 1} days" in replay.rejects[0][1]
    assert replay.traces == before


def test_calls_of_such_a_run_keep_their_price() -> None:
    replay, rest = half_told()
    replay.feed(rest)
    calls = replay.of_kind("model_call")
    replay.now_us += REFUSED_AFTER_US + SECOND_US
    replay.pricer = NEW
    assert replay.feed([ask(10_000, calls, NEW)]).spans == []
    assert replay.counts["reprice_forgotten_calls"] == len(calls)
    assert sum((spend.cost_usd for spend in replay.spends), Decimal(0)) == sum(call.cost_usd or 0 for call in calls)


def test_files_lose_what_nobody_wrote_for_long(tmp_path: Path) -> None:
    """The option that Faust hands on does so, once the file that holds it is compacted; what is written again stays."""
    files = RocksDBOptions(ttl=2).open(tmp_path / "state.db")
    files.put(b"old", b"1")
    files.put(b"kept", b"1")
    deadline = time.monotonic() + EXPIRES_WITHIN_S
    while files.get(b"old") is not None:
        assert time.monotonic() < deadline, "nothing expires"
        files.put(b"kept", b"1")
        files.flush()
        files.compact_range(None, None)
    assert files.get(b"kept") == b"1"
