"""One lake per test, on the stack that all integration tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.runtime.kafka import provision_topics
from infra.runtime.settings import StackSettings
from tests.integration.lakehouse.lake import KAFKA_TIMEOUT_S, Lake


@pytest.fixture
def lake(stack: StackSettings, tmp_path: Path) -> Iterator[Lake]:
    """Tables and topics that only this test uses; gone afterwards."""
    lake = Lake(stack, tmp_path)
    specs = lake.topics()
    provision_topics(stack.kafka_bootstrap, specs)
    try:
        yield lake
    finally:
        lake.close()
        admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
        for deleted in admin.delete_topics([spec.name for spec in specs]).values():
            deleted.exception(KAFKA_TIMEOUT_S)
