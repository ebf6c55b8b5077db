"""The same story twice: by Faust as it comes, which loses something, and by what is put in its place.

When the first half of a test fails, Faust has mended the fault: look whether the work-around is still needed.
"""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.exceptions import ValueDecodeError
from faust.stores import rocksdb
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from intervaltree import IntervalTree

from stream_jobs.processors.app import create_app
from stream_jobs.processors.faust_fixes import ExactConsumer, drop_local_state_with_partition
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core

PLACE = TP("events", 0)


def consumer_of(committed: int, acked: list[int], written: int) -> Any:
    """A consumer's books: what is committed, which events counted as done, and how far the state is written."""
    return SimpleNamespace(
        _acked={PLACE: acked},
        _acked_index=defaultdict(set),
        _gap=defaultdict(IntervalTree),
        _committed_offset={PLACE: committed},
        app=SimpleNamespace(written_offsets=lambda: {PLACE: written}),
    )


def test_an_event_in_work_is_committed_past() -> None:
    # 2585 is still in work, the four after it are done: next to be read must be 2585.
    assert driver.Consumer._new_offset(consumer_of(2585, [2586, 2587, 2588, 2589], 2585), PLACE) == 2590
    assert ExactConsumer._new_offset(consumer_of(2585, [2586, 2587, 2588, 2589], 2585), PLACE) == 2585


def test_after_a_gap_nothing_is_committed_ever_again() -> None:
    acked = list(range(20, 500))
    assert driver.Consumer._new_offset(consumer_of(10, acked, 500), PLACE) is None
    assert ExactConsumer._new_offset(consumer_of(10, acked, 500), PLACE) == 500


class Seeking:
    """A consumer that notes where it was told to go; nothing was ever committed, the log begins at 7."""

    def __init__(self) -> None:
        self.sought: dict[TP, int] = {}
        self._read_offset: dict[TP, int | None] = {}
        self._committed_offset: dict[TP, int | None] = {}
        self.reading_starts: dict[TP, int] = {}

    async def seek_to_committed(self) -> dict[TP, int | None]:
        return {PLACE: None}

    def assignment(self) -> set[TP]:
        return {PLACE}

    def _is_changelog_tp(self, tp: TP) -> bool:
        return False

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 7)

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought[tp] = offset


async def test_with_nothing_committed_reading_goes_on_wherever_it_stood() -> None:
    stock: Any = Seeking()
    await driver.Consumer.perform_seek(stock)
    assert stock.sought == {}

    class Exact(Seeking, ExactConsumer):  # type: ignore[misc]
        __init__ = Seeking.__init__

    exact = Exact()
    await ExactConsumer.perform_seek(exact)
    assert exact.sought == {PLACE: 7}
    assert exact.reading_starts == {PLACE: 7}


async def test_an_undecodable_record_never_reaches_the_agent(tmp_path: Path) -> None:
    """Faust acknowledges it and throws; with raw bytes there is nothing to decode, and the stitcher keeps them."""
    junk: Any = SimpleNamespace(key=b"k", value=b"{junk", headers={}, topic="events")
    stock = faust.App("twin", store="memory://")
    with pytest.raises(ValueDecodeError):
        await stock.topic("events", value_serializer="json").decode(junk, propagate=True)
    ours = create_app(StitcherSettings(home=tmp_path), counting_core)
    event = await ours.topic("events", key_type=bytes, value_type=bytes).decode(junk, propagate=True)
    assert event.value == b"{junk"


def test_files_of_a_partition_that_is_taken_away_stay(tmp_path: Path) -> None:
    class Store(SimpleNamespace):
        revoke_partitions = rocksdb.Store.revoke_partitions
        _open_for_partition = rocksdb.Store._open_for_partition

    store = Store(_dbs={}, partition_path=lambda partition: tmp_path / str(partition))
    table: Any = SimpleNamespace(data=store, changelog_topic=SimpleNamespace(topics=["changes"]))
    (tmp_path / "1").mkdir()
    store.revoke_partitions(table, {TP("changes", 1)})
    assert (tmp_path / "1").exists()
    drop_local_state_with_partition(table)
    store.revoke_partitions(table, {TP("changes", 1)})
    assert not (tmp_path / "1").exists()


def test_a_table_is_written_within_a_stream_only(tmp_path: Path) -> None:
    """Why the state goes to the table's store and changelog by itself (``TableStore``)."""
    stock = faust.App("twin", store="memory://", datadir=str(tmp_path))
    with pytest.raises(TypeError):
        stock.Table("state", key_type=bytes, value_type=bytes)[b"key"] = b"value"
