"""Changes come into the local files when the changelog has them, with the offset at which it does."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream_jobs.processors.app import StitcherApp, create_app
from stream_jobs.processors.faust_fixes import DurableBuffer
from stream_jobs.processors.local_files import LocalFiles
from stream_jobs.processors.local_state import ChangelogStore, ForeignWrite
from stream_jobs.processors.state import PartitionState
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.standin import counting_core
from tests.unit.stream_jobs.processors.test_faust_fixes import SlowBroker, running, settle

PARTITION = 2


class Changelog(SlowBroker):
    """A producer whose records get their offsets when told."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = running(DurableBuffer, self)

    def acknowledge(self, first: int, last: int, shift: int = 0) -> None:
        """The broker has these records, so many offsets further on than there are records."""
        for number in range(first, last + 1):
            self.sent[number].set_result(SimpleNamespace(offset=number + shift))


@pytest.fixture
def changelog() -> Changelog:
    """Nothing sent yet."""
    return Changelog()


@pytest.fixture
def app(tmp_path: Path, changelog: Changelog) -> StitcherApp:
    """The stitcher's app with that changelog."""
    app = create_app(StitcherSettings(home=tmp_path), counting_core)
    # As much of a producer as the store asks of it.
    producer: Any = changelog
    app._producer = producer
    return app


@pytest.fixture
def told(app: StitcherApp, monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Why the process would end; its own way would end the test's loop."""
    found: list[BaseException] = []
    monkeypatch.setattr(app, "give_up", found.append)
    return found


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    """Files of one partition with nothing in them."""
    return LocalFiles(tmp_path / "state-2")


async def test_files_wait_for_the_changelog_and_readers_do_not(
    app: StitcherApp, changelog: Changelog, files: LocalFiles
) -> None:
    state = PartitionState(ChangelogStore(PARTITION, files, app))
    first, second = [(b"a", b"1"), (b"b", b"1")], [(b"a", b"2"), (b"b", None)]
    for changes in (first, second):
        await state.write(state.plan(changes), changes)
    assert [files.get(key) for key in (b"a", b"b")] == [None, None]
    assert (state.get_raw(b"a"), state.get_raw(b"b")) == (b"2", None)
    changelog.acknowledge(0, 1)
    await settle()
    assert [files.get(key) for key in (b"a", b"b")] == [b"1", b"1"]
    assert files.next_offset == 2
    assert (state.get_raw(b"a"), state.get_raw(b"b")) == (b"2", None), "what is newer is not in the files yet"
    changelog.acknowledge(2, 3)
    await settle()
    assert (state.get_raw(b"a"), state.get_raw(b"b"), files.next_offset) == (b"2", None, 4)
    assert state._planned == {}


async def test_half_a_write_stays_out_of_the_files(app: StitcherApp, changelog: Changelog, files: LocalFiles) -> None:
    await ChangelogStore(PARTITION, files, app).write([(b"a", b"1"), (b"b", b"1")], lambda: None)
    changelog.acknowledge(0, 0)
    await settle()
    assert (files.get(b"a"), files.next_offset) == (None, 0)


async def test_after_a_failure_nothing_more_comes_in(
    app: StitcherApp, changelog: Changelog, files: LocalFiles, told: list[BaseException]
) -> None:
    store = ChangelogStore(PARTITION, files, app)
    await store.write([(b"a", b"1")], lambda: None)
    await store.write([(b"b", b"1")], lambda: None)
    changelog.sent[0].set_exception(ConnectionError("gone"))
    changelog.acknowledge(1, 1)
    await settle()
    assert files.get(b"b") is None, "the second alone would be a state that never was"
    assert told == [], "the routine itself ends when it finds that its write failed"


async def test_a_write_of_somebody_else_in_between_ends_the_process(
    app: StitcherApp, changelog: Changelog, files: LocalFiles, told: list[BaseException]
) -> None:
    store = ChangelogStore(PARTITION, files, app)
    await store.write([(b"a", b"1")], lambda: None)
    changelog.acknowledge(0, 0)
    await settle()
    assert files.next_offset == 1
    await store.write([(b"a", b"2"), (b"b", b"1")], lambda: None)
    changelog.acknowledge(1, 2, shift=1)
    await settle()
    (error,) = told
    assert isinstance(error, ForeignWrite)
    assert "partition 2: 2 changes end at 4" in str(error)
    assert (files.get(b"a"), files.next_offset) == (b"1", 1), "without what lies in between it would be no state at all"


async def test_files_that_cannot_be_written_end_the_process(
    app: StitcherApp, changelog: Changelog, files: LocalFiles, told: list[BaseException]
) -> None:
    store = ChangelogStore(PARTITION, files, app)
    files._files.close()
    await store.write([(b"a", b"1")], lambda: None)
    changelog.acknowledge(0, 0)
    await settle()
    assert len(told) == 1
    assert "closed" in str(told[0]).lower()


async def test_after_the_partition_was_taken_away_nothing_more_is_sent(
    app: StitcherApp, changelog: Changelog, files: LocalFiles
) -> None:
    is_ours = True
    store = ChangelogStore(PARTITION, files, app, lambda: is_ours)
    await store.write([(b"a", b"1")], lambda: None)
    is_ours = False
    await store.write([(b"a", b"2")], lambda: None)
    assert changelog.values == [b"1"]


async def test_nobody_has_a_store_before_an_assignment(app: StitcherApp) -> None:
    assert not app.local_state.is_restored
    assert await app.local_state.store(PARTITION) is None
