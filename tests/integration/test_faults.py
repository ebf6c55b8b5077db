"""A short campaign on the stack of this session: parts are killed and held, then everything is counted."""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.runtime.kafka_security import kafka_connection
from producers.contracts.event import decode_event_batch, record_key
from producers.contracts.topics import EVENTS
from stream_jobs.processors.dead_letter import dead_letter_headers
from tests.faults.campaign import Fault, Round, World, play
from tests.faults.ledger import Ledger
from tests.faults.mixture import Delivery, Run, runs_of
from tests.faults.oracle import (
    calm_findings,
    event_findings,
    letter_findings,
    read_log,
    revision_findings,
    roll_up_findings,
    state_findings,
    total_findings,
)
from tests.integration.doors import Doors

pytestmark = pytest.mark.slow

SEED = 20261123
NUM_RUNS = 24
NUM_FAULTS = 6
# Of their own each time: on a stack that runs already, what was sent before would be sent twice.
_NAME = uuid.uuid4().hex[:8]
TENANTS = (f"faults{_NAME}x", f"faults{_NAME}y")
# As an upgrade does it: one after the other, readers before writers, while events flow.
UPGRADE = tuple(
    Fault(part, "restart", after_deliveries)
    for part, after_deliveries in (("sink", 6), ("stitcher", 14), ("gateway", 22))
)


@dataclass(frozen=True)
class Played:
    """A round that was played, and what it was played on."""

    world: World
    told: Round
    runs: list[Run]


@pytest.fixture(scope="module")
def played(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """One round; the stack runs whole again after it."""
    book: Path = tmp_path_factory.mktemp("faults") / "ledger.sqlite"
    ledger = Ledger(book)
    world = World.of(doors, ledger, TENANTS)
    told = play(world, SEED, NUM_RUNS, NUM_FAULTS, UPGRADE)
    print(f"seed {SEED}: {told.num_events} events, {told.took_s:.0f} s, {', '.join(told.faults)}")
    yield Played(world, told, runs_of(SEED, NUM_RUNS, TENANTS))
    ledger.close()


def test_nothing_acknowledged_is_lost_or_counted_twice(played: Played) -> None:
    assert len(played.told.faults) >= NUM_FAULTS + len(UPGRADE)
    assert played.told.findings == []


def test_the_local_state_is_what_the_changelog_says(played: Played) -> None:
    assert state_findings(played.world.doors) == []


def test_the_ledger_is_believed_more_than_the_tables(played: Played, tmp_path: Path) -> None:
    doors, run = played.world.doors, played.runs[0]
    never_sent = Delivery(run, 10_000, ({"hook": "x"},))
    other = Ledger(tmp_path / "other.sqlite")
    other.note(never_sent)
    other.acknowledge(never_sent)
    lost, unknown = event_findings(doors, other, TENANTS)
    assert lost.startswith("1 acknowledged events that are not stored")
    assert "that nobody sent under that name" in unknown
    other.close()


def test_the_oracle_sees_what_does_not_add_up(played: Played) -> None:
    doors = played.world.doors
    assert total_findings(doors, played.runs[1:], TENANTS)
    assert total_findings(doors, [*played.runs, played.runs[0]], TENANTS)
    assert total_findings(doors, played.runs, TENANTS) == []
    assert roll_up_findings(doors, TENANTS) == []
    assert revision_findings(doors, TENANTS) == []


def test_the_oracle_sees_a_record_that_was_not_stitched(played: Played) -> None:
    doors = played.world.doors
    log = read_log(doors)
    partition = max(log, key=lambda number: sum(TENANTS[0].encode() in value for value in log[number]))
    values = log[partition]
    batches = [decode_event_batch(value) for value in values]
    told = Counter((batch.spool_id, event.seq) for batch in batches for event in batch.events)
    # What was sent again, because an answer was lost, may be left out once.
    ours = [
        offset
        for offset, batch in enumerate(batches)
        if batch.tenant_id == TENANTS[0] and all(told[batch.spool_id, event.seq] == 1 for event in batch.events)
    ]
    # Of an agent that goes on after it: what comes last of an agent may be on its way still, and is not compared.
    ((agent_id, _),) = Counter(batches[offset].agent_id for offset in ours).most_common(1)
    place = next(offset for offset in ours if batches[offset].agent_id == agent_id)
    # What the tables hold is then more than the log leads to.
    assert calm_findings(doors, log | {partition: [*values[:place], b"junk", *values[place + 1 :]]}, TENANTS)


def test_the_oracle_sees_a_dead_letter(played: Played) -> None:
    doors, tenant_id = played.world.doors, f"faults{_NAME}z"
    assert letter_findings(doors, (tenant_id,)) == []
    producer = Producer(kafka_connection(doors.stack.kafka_bootstrap, doors.stack))
    producer.produce(
        EVENTS.dead_letter.name,
        b"junk",
        record_key(tenant_id, "agent"),
        headers=dead_letter_headers(EVENTS.name, 0, 0, "junk"),
    )
    assert producer.flush(60) == 0
    (told,) = letter_findings(doors, (tenant_id,))
    assert told.startswith("1 records that became dead letters")
