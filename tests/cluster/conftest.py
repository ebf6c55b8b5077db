"""The shape of a cluster on one machine: two brokers with TLS and SASL, an object store, two Trino nodes."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cluster.object_store import BUCKET, ObjectStore, running_object_store
from tests.faults.campaign import World
from tests.faults.ledger import Ledger
from tests.integration.doors import Doors
from tests.stack import QUICKER, own_stack, settings_of

PORT_BASE = int(os.environ.get("CLAWTRACE_TEST_PORT_BASE", "5060"))
# What these tests do not ask for would only cost time at the start.
PARTS = (
    "postgres,kafka,kafka-2,db-migrate,topics-provision,lake-provision,trino-rules,trino,trino-2,lake-views,"
    "gateway,stitcher,sink,api"
)


@pytest.fixture(scope="module")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """Where the warehouse lies."""
    with running_object_store(tmp_path_factory.mktemp("s3") / "server.log") as store:
        yield store


@pytest.fixture(scope="module")
def cluster(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of the cluster: everything that makes it one is a setting."""
    home = tmp_path_factory.mktemp("cluster")
    with own_stack(home, PORT_BASE, PARTS, **cluster_settings(home, object_store)) as environment:
        yield environment


def cluster_settings(home: Path, object_store: ObjectStore) -> dict[str, str]:
    """The settings that ``infra/production.md`` names, as environment variables."""
    return {
        **QUICKER,
        "CLAWTRACE_LOCAL_NODES": "2",
        "CLAWTRACE_KAFKA_PROTOCOL": "sasl_ssl",
        "CLAWTRACE_KAFKA_MECHANISM": "SCRAM-SHA-512",
        "CLAWTRACE_KAFKA_USERNAME": "clawtrace",
        "CLAWTRACE_KAFKA_PASSWORD": "only-for-tests",
        "CLAWTRACE_KAFKA_CA_FILE": str(home / "secrets" / "kafka-ca.pem"),
        "CLAWTRACE_WAREHOUSE": f"s3://{BUCKET}/warehouse",
        "CLAWTRACE_CATALOG_PROPERTIES": json.dumps(object_store.catalog_properties),
        # Small files come soon, and the nodes have some to share.
        "CLAWTRACE_SINK_COMMIT_SECONDS": "1",
    }


@pytest.fixture(scope="module")
def new_world(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """``new_world(*tenants)``: the cluster as a campaign needs it, with a ledger of its own."""
    ledgers: list[Ledger] = []
    with httpx2.Client(timeout=60, trust_env=False) as client:

        def make(*tenants: str) -> World:
            ledgers.append(Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite"))
            return World.of(Doors(settings_of(cluster), client), ledgers[-1], tenants)

        yield make
    for ledger in ledgers:
        ledger.close()
