"""Changes come into the local files when the changelog has them, with the offset at which it does."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from stream_jobs.processors.app import StitcherApp, create_app
from stream_jobs.processors.faust_fixes import DurableBuffer
from stream_jobs.processors.state import PartitionState, TableStore
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core
from tests.unit.stream_jobs.processors.test_faust_fixes import SlowBroker, running, settle

PARTITION = 2


class Changelog(SlowBroker):
    """A producer whose records get their offsets when told."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = running(DurableBuffer, self)

    def acknowledge(self, first: int, last: int) -> None:
        """The broker has these records."""
        for offset in range(first, last + 1):
            self.sent[offset].set_result(SimpleNamespace(offset=offset))


@pytest.fixture
def changelog() -> Changelog:
    """Nothing sent yet."""
    return Changelog()


@pytest.fixture
def app(tmp_path: Path, changelog: Changelog) -> StitcherApp:
    """The stitcher's app with real files and that changelog."""
    app = create_app(StitcherSettings(home=tmp_path), counting_core)
    # As much of a producer as the store asks of it.
    producer: Any = changelog
    app._producer = producer
    return app


def files_of(app: StitcherApp) -> dict[bytes, bytes]:
    return dict(app.state_table.data._db_for_partition(PARTITION).items())


def offset_of(app: StitcherApp) -> int | None:
    offset: int | None = app.state_table.data.persisted_offset(TP("state", PARTITION))
    return offset


async def test_files_wait_for_the_changelog_and_readers_do_not(app: StitcherApp, changelog: Changelog) -> None:
    state = PartitionState(TableStore(app.state_table, PARTITION))
    first, second = [(b"a", b"1"), (b"b", b"1")], [(b"a", b"2"), (b"b", None)]
    for changes in (first, second):
        await state.write(state.plan(changes), changes)
    assert files_of(app) == {}
    assert (state.get_raw(b"a"), state.get_raw(b"b")) == (b"2", None)
    changelog.acknowledge(0, 1)
    await settle()
    assert {key: value for key, value in files_of(app).items() if len(key) == 1} == {b"a": b"1", b"b": b"1"}
    assert offset_of(app) == 1
    assert (state.get_raw(b"a"), state.get_raw(b"b")) == (b"2", None), "what is newer is not in the files yet"
    changelog.acknowledge(2, 3)
    await settle()
    assert (state.get_raw(b"a"), state.get_raw(b"b"), offset_of(app)) == (b"2", None, 3)
    assert state._planned == {}


async def test_half_a_write_stays_out_of_the_files(app: StitcherApp, changelog: Changelog) -> None:
    await TableStore(app.state_table, PARTITION).write([(b"a", b"1"), (b"b", b"1")], lambda: None)
    changelog.acknowledge(0, 0)
    await settle()
    assert files_of(app) == {}


async def test_after_a_failure_nothing_more_comes_in(app: StitcherApp, changelog: Changelog) -> None:
    store = TableStore(app.state_table, PARTITION)
    await store.write([(b"a", b"1")], lambda: None)
    await store.write([(b"b", b"1")], lambda: None)
    changelog.sent[0].set_exception(ConnectionError("gone"))
    changelog.acknowledge(1, 1)
    await settle()
    assert files_of(app) == {}, "the second alone would be a state that never was"


async def test_what_was_begun_before_the_partition_went_belongs_to_no_new_files(
    app: StitcherApp, changelog: Changelog
) -> None:
    await TableStore(app.state_table, PARTITION).write([(b"a", b"1")], lambda: None)
    topic = next(iter(app.state_table.changelog_topic.topics))
    app.state_table.data.revoke_partitions(app.state_table, {TP(topic, PARTITION)})
    changelog.acknowledge(0, 0)
    await settle()
    assert files_of(app) == {}


async def test_files_that_cannot_be_written_end_the_process(
    app: StitcherApp, changelog: Changelog, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    # Its own would end the test's loop.
    monkeypatch.setattr(app, "give_up", told.append)
    store = TableStore(app.state_table, PARTITION)
    broken: Any = SimpleNamespace(write=lambda batch: (_ for _ in ()).throw(OSError("No space left on device")))
    app.state_table.data._dbs[PARTITION] = broken
    await store.write([(b"a", b"1")], lambda: None)
    changelog.acknowledge(0, 0)
    await asyncio.sleep(0)
    await settle()
    assert [str(error) for error in told] == ["No space left on device"]
