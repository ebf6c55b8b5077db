"""Every topic has a schema, examples and a reader, and what is committed is what the code says."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from infra.runtime.topics import MAX_RECORD_BYTES, TopicSpec
from lakehouse.sink.feeds import FEEDS, SeenState
from producers.contracts.event import decode_event_batch
from producers.contracts.guard import decode_guard_message
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.budget import Budget
from stream_jobs.contracts.card import CardBatch
from stream_jobs.contracts.channel import ChannelFilters
from stream_jobs.contracts.rubric import parse_rubric
from stream_jobs.contracts.spend import SpendBatch
from stream_jobs.core.budgets.settlement import charge_of, settle
from stream_jobs.core.budgets.state import BudgetState
from stream_jobs.core.learn.scoring import mark_card
from stream_jobs.core.notify.plan import next_step
from stream_jobs.core.stitch import PriceBook, read_rules, stitch_batch
from tests.contract.generate import SPECS, contract_folder, expected_schemas, schema_of

STAGE_OF: dict[str, str] = {spec.name: stage for stage, specs in SPECS.items() for spec in specs}
TOPICS: list[TopicSpec] = [spec for specs in SPECS.values() for spec in specs]
RECORD_TOPICS = [spec for spec in TOPICS if spec.record_type is not None]


def examples_of(spec: TopicSpec) -> list[Path]:
    """Committed example records of a topic."""
    return sorted((contract_folder(STAGE_OF[spec.name]) / "examples").glob(f"{spec.name}.*.json"))


def name_of(spec: TopicSpec) -> str:
    return spec.name


def test_committed_schemas_are_what_the_contracts_say() -> None:
    wanted = expected_schemas()
    found = {path: path.read_text() for path in wanted if path.exists()}
    assert found == wanted, "run 'make schemas' and read the diff"
    folders = {path.parent for path in wanted}
    assert {path for folder in folders for path in folder.glob("*.json")} == set(wanted), "a schema nobody owns"


@pytest.mark.parametrize("spec", RECORD_TOPICS, ids=name_of)
def test_a_topic_has_examples_that_fit_its_schema(spec: TopicSpec) -> None:
    assert spec.record_type is not None
    examples = examples_of(spec)
    assert examples, f"no example for {spec.name}"
    validator = jsonschema.Draft202012Validator(schema_of(spec.record_type))
    for example in examples:
        validator.validate(json.loads(example.read_text()))


@pytest.mark.parametrize("spec", RECORD_TOPICS, ids=name_of)
def test_an_example_comes_back_as_it_was(spec: TopicSpec) -> None:
    assert spec.record_type is not None
    for example in examples_of(spec):
        value = example.read_bytes()
        assert len(value) < MAX_RECORD_BYTES
        decoded = msgspec.json.decode(value, type=spec.record_type)
        again: Any = json.loads(msgspec.json.encode(decoded))
        assert again == json.loads(value)


def read_as_sink(topic: str, value: bytes) -> int:
    """Rows that the sink makes of a record, over all tables the topic feeds."""
    feed = next(feed for feed in FEEDS if feed.topic == topic)
    batch = feed.decode(value)
    seen = SeenState.refreshed_every(60)
    columns = [extract(batch, 0, seen) for extract in feed.tables.values()]
    assert all(len({len(values) for values in found.values()}) == 1 for found in columns), "columns of one length"
    return sum(len(found["tenant_id"]) for found in columns)


def read_as_budgets(topic: str, value: bytes) -> int:
    """Spends that the keeper of budgets counts in a record."""
    batch = msgspec.json.decode(value, type=SpendBatch)
    charges = [charge_of(batch.agent_id, spend, batch.received_at_us) for spend in batch.spends]
    budget = Budget(budget_id="b", tenant_id=batch.tenant_id, window="day", unit="usd", limit=Decimal(1))
    state = BudgetState()
    settle(budget, state, charges, batch.received_at_us, 1)
    assert state.spent() == sum(spend.cost_usd for spend in batch.spends)
    return len(charges)


def read_as_stitcher(topic: str, value: bytes) -> int:
    """Spans that the stitcher makes of a record."""
    result = stitch_batch({}, decode_event_batch(value), 0, PriceBook.from_toml(""), read_rules(""))
    return len(result.spans)


def read_as_notifier(topic: str, value: bytes) -> int:
    """Alerts of a record that a channel without filters is told of."""
    batch = msgspec.json.decode(value, type=AlertBatch)
    told = [next_step(ChannelFilters(), alert, None)[0] for alert in batch.alerts]
    assert all((one is None) == (alert.state == "ok") for one, alert in zip(told, batch.alerts, strict=True))
    return len(told)


def read_as_learner(topic: str, value: bytes) -> int:
    """Marks that the learner gives for the cards of a record."""
    rubric = parse_rubric('[[criterion]]\nname = "ended"\nkind = "ended"')
    batch = msgspec.json.decode(value, type=CardBatch)
    return sum(len(mark_card(rubric, card)) for card in batch.cards)


READERS: dict[str, Callable[[str, bytes], int]] = {
    "sink": read_as_sink,
    "budgets": read_as_budgets,
    "learner": read_as_learner,
    "notifier": read_as_notifier,
    "stitcher": read_as_stitcher,
    "gateway": lambda topic, value: len(decode_guard_message(value).tenant_id),
}


@pytest.mark.parametrize("spec", RECORD_TOPICS, ids=name_of)
def test_every_reader_reads_every_example(spec: TopicSpec) -> None:
    for reader in spec.readers:
        for example in examples_of(spec):
            # Allowances lapse within minutes: the sink reads them and makes no rows.
            least = 0 if reader == "sink" and "allowance" in example.name else 1
            assert READERS[reader](spec.name, example.read_bytes()) >= least


def test_every_topic_names_its_readers_and_its_dead_letters() -> None:
    names = {spec.name for spec in TOPICS}
    assert len(names) == len(TOPICS)
    for spec in TOPICS:
        assert spec.readers, f"nobody reads {spec.name}"
        assert spec.name.endswith(".dlq") or f"{spec.name}.dlq" in names


def test_topics_that_are_read_by_marks_have_the_partitions_of_their_source() -> None:
    partitions = {spec.partitions for spec in TOPICS if not spec.name.endswith(".dlq")}
    assert len(partitions) == 1, "outputs lie in the partition of their source"
