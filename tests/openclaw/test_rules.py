"""A rule of the stream in real OpenClaw: the runaway is told at once and stopped by a verdict; other runs go on."""

import tomllib
from collections.abc import Callable

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from infra.runtime.settings import StackSettings
from producers.contracts.topics import EVENTS
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.topics import ALERTS
from tests.integration.doors import wait_until
from tests.openclaw.balance import wait_until_quiet
from tests.openclaw.conftest import TENANT, Install

MAX_SAME_CALLS = 6
# From the source record, so stricter than from the gateway's ack, which comes after it.
MAX_LATENCY_MS = 250
# A revision is the offset of its source record, above it the generation of the log.
OFFSET_BITS = 44


@pytest.fixture
def ruled(make_install: Callable[..., Install], stack: StackSettings) -> Install:
    """An OpenClaw whose loops are aborted by the stitcher's word; its own guard has no limit."""
    install = make_install("ruled", None, {"tools": {"toolSearch": False}})
    rules = stack.home / "config/rules.toml"
    override = (
        f'\n[[override]]\ntenant_id = "{TENANT}"\nagent_id = "{install.agent_id}"\n'
        f'[override.tool_loop]\nmax_same_calls = {MAX_SAME_CALLS}\naction = "abort"\n'
    )
    text = rules.read_text() + override
    tomllib.loads(text)
    rules.write_text(text)
    install.host.start_gateway()
    return install


def alerts_of(stack: StackSettings, agent_id: str) -> list[tuple[Alert, float]]:
    """Alerts of an agent, each with the milliseconds from its source record to itself, by Kafka's own stamps."""
    found = []
    reader = Consumer(
        {"bootstrap.servers": stack.kafka_bootstrap, "group.id": "tests-rules", "enable.auto.commit": False}
    )
    try:
        partitions = reader.list_topics(ALERTS.name, timeout=10).topics[ALERTS.name].partitions
        for number in partitions:
            place = TopicPartition(ALERTS.name, number, 0)
            low, high = reader.get_watermark_offsets(place, timeout=10)
            if high == low:
                continue
            reader.assign([place])
            for message in reader.consume(high - low, 10):
                assert message.error() is None
                batch = msgspec.json.decode(message.value() or b"", type=AlertBatch)
                if batch.agent_id == agent_id:
                    source = _read_one(reader, number, batch.rev % (1 << OFFSET_BITS))
                    found += [(alert, message.timestamp()[1] - source) for alert in batch.alerts]
    finally:
        reader.close()
    return found


def _read_one(reader: Consumer, partition: int, offset: int) -> int:
    reader.assign([TopicPartition(EVENTS.name, partition, offset)])
    (message,) = reader.consume(1, 10)
    assert message.offset() == offset
    return int(message.timestamp()[1])


def test_a_loop_is_told_at_once_and_aborted_and_another_run_goes_on(
    ruled: Install, stack: StackSettings, label: str
) -> None:
    other = f"{label}-other"
    loop = ruled.host.ask(f"[[scenario:runaway latency=0.3 label={label}]] Go on for ever.", label)
    wait_until(lambda: len(ruled.entries(label)), lambda found: found >= 2, "the loop is under way")
    reply = ruled.host.ask(f"[[scenario:multi-tool label={other}]] Please.", other)
    assert "the code is alpha-42" in reply.result(60)
    wait_until_quiet(lambda: ruled.entries(label), 90.0, quiet_s=4.0)
    loop.result(60)
    num_calls = len(ruled.entries(label))
    spans = ruled.balanced(label, other)
    runs = {span["session_key"]: span["status"] for span in spans if span["kind"] == "run"}
    assert runs[f"agent:main:{other}"] == "ok"
    assert runs[f"agent:main:{label}"] in ("error", "blocked")
    (fired,) = [it for it in alerts_of(stack, ruled.agent_id) if it[0].rule == "tool_loop" and it[0].state == "alert"]
    alert, latency_ms = fired
    print(f"\nloop: {num_calls} model calls, aborted by the verdict; source record → alert {latency_ms:.0f} ms")
    assert latency_ms <= MAX_LATENCY_MS
    # The call that ran while the batch was on its way, and the one after it, may still be seen.
    assert MAX_SAME_CALLS <= num_calls <= MAX_SAME_CALLS + 8
    assert alert.evidence["num_same_calls"] == str(MAX_SAME_CALLS)
    verdicts = ruled.doors.sql(
        ruled.read_key, f"SELECT action, alert_id FROM verdicts WHERE agent_id = '{ruled.agent_id}'"
    )
    assert {(row["action"], row["alert_id"]) for row in verdicts} == {("abort", alert.alert_id)}
    assert {span["kind"] for span in spans} >= {"guard"}
