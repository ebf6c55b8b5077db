"""The state is read back from a real changelog: all of it, once, from where the files end."""

import asyncio
import random
from collections.abc import Callable

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import provision_topics
from stream_jobs.processors.app import StitcherApp, create_app
from stream_jobs.processors.journal import Change
from stream_jobs.processors.state import PartitionStore
from stream_jobs.settings import StitcherSettings
from tests.integration.stream_jobs.harness import DEADLINE_S, Install
from tests.integration.stream_jobs.standin import counting_core

PARTITIONS = (0, 1)
NUM_CHANGES = 6_000


class Written:
    """What somebody wrote into the changelog, and what it comes to."""

    def __init__(self, install: Install) -> None:
        self._topic = install.topology.state.name
        provision_topics(install.bootstrap, [install.topology.state])
        self._producer = Producer({"bootstrap.servers": install.bootstrap, "enable.idempotence": True})
        self._chooser = random.Random(4)
        self.values: dict[int, dict[bytes, bytes]] = {number: {} for number in PARTITIONS}
        self.num_changes = 0

    def write(self, num_changes: int) -> None:
        """Set and delete keys, many of them more than once."""
        for _ in range(num_changes):
            partition, key = self._chooser.choice(PARTITIONS), b"s%d" % self._chooser.randrange(500)
            change: Change = (key, b"%d" % self.num_changes if self._chooser.random() < 0.8 else None)
            self._producer.produce(self._topic, change[1], key, partition)
            self._producer.poll(0)
            if change[1] is None:
                self.values[partition].pop(key, None)
            else:
                self.values[partition][key] = change[1]
            self.num_changes += 1
        assert self._producer.flush(DEADLINE_S) == 0


@pytest.fixture
def one(install: Callable[[str], Install]) -> Install:
    """An install whose stitcher does not run."""
    return install("restore")


@pytest.fixture
def written(one: Install) -> Written:
    """A changelog with something in it."""
    written = Written(one)
    written.write(NUM_CHANGES)
    return written


def app_of(install: Install) -> StitcherApp:
    """The stitcher's app as far as its state goes."""
    settings = StitcherSettings(
        home=install.home, kafka_bootstrap=install.bootstrap, topic_prefix=install.prefix, log_generation=0
    )
    settings.stitcher_folder.mkdir(parents=True, exist_ok=True)
    return create_app(settings, counting_core)


def content_of(store: PartitionStore | None) -> dict[bytes, bytes]:
    """All that a store holds of the core's keys."""
    assert store is not None
    return dict(store.scan(b"s"))


async def restored(app: StitcherApp) -> dict[int, dict[bytes, bytes]]:
    """Assign the partitions and read all their state."""
    app.local_state.assign(PARTITIONS)
    async with asyncio.timeout(DEADLINE_S):
        found = {number: content_of(await app.local_state.store(number)) for number in PARTITIONS}
    assert app.local_state.is_restored
    return found


async def test_all_of_the_changelog_is_there_when_the_store_is_and_later_only_the_rest_is_read(
    one: Install, written: Written
) -> None:
    app = app_of(one)
    assert await restored(app) == written.values
    assert app.local_state.num_restored == NUM_CHANGES
    assert await restored(app) == written.values
    assert app.local_state.num_restored == NUM_CHANGES, "there was nothing new"
    written.write(50)
    assert await restored(app) == written.values
    assert app.local_state.num_restored == NUM_CHANGES + 50


async def test_a_partition_that_is_taken_away_meanwhile_gives_no_store_and_the_next_time_all(
    one: Install, written: Written
) -> None:
    app = app_of(one)
    for looks in range(8):
        app.local_state.assign(PARTITIONS)
        waiting = asyncio.create_task(app.local_state.store(0))
        for _ in range(looks):
            await asyncio.sleep(0.01)
        app.local_state.release()
        assert not app.local_state.is_restored
        store = await waiting
        assert store is None or content_of(store) == written.values[0]
        assert await app.local_state.store(0) is None
    assert await restored(app) == written.values
    assert app.local_state.num_restored == NUM_CHANGES, "what was read before the end was kept, and not read again"


async def test_files_that_are_ahead_of_the_changelog_are_not_believed(one: Install, written: Written) -> None:
    app = app_of(one)
    await restored(app)
    app.local_state._files[1].apply([(b"s1", b"of another changelog")], 10 * NUM_CHANGES)
    assert await restored(app) == written.values


async def test_files_that_end_before_the_changelog_begins_are_not_believed(one: Install, written: Written) -> None:
    app = app_of(one)
    await restored(app)
    written.write(NUM_CHANGES)
    name = one.topology.state.name
    ends = one.end_offsets(name)
    admin = AdminClient({"bootstrap.servers": one.bootstrap})
    begins = [TopicPartition(name, number, ends[number] - 5) for number in PARTITIONS]
    for future in admin.delete_records(begins).values():
        future.result(DEADLINE_S)
    last = {number: [out for out in one.read(name) if out.partition == number] for number in PARTITIONS}
    wanted: dict[int, dict[bytes | None, bytes | None]] = {
        number: {out.key: out.value for out in last[number]} for number in PARTITIONS
    }
    found = await restored(app)
    assert found == {
        number: {key: value for key, value in wanted[number].items() if value is not None} for number in PARTITIONS
    }
