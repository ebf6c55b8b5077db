"""Without a broker nothing is taken, and whoever asks hears it at once and not after the delivery timeout."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from producers.gateway.publisher import BrokerAway, OutgoingRecord, Publisher
from producers.settings import GatewaySettings

# Whoever waited for it, on however busy a machine, waited longer than the test allows.
DELIVERY_TIMEOUT_S = 60
RECORD = OutgoingRecord("none", b"tenant1|a", b"{}")


@pytest.fixture
async def publisher(tmp_path: Path) -> AsyncIterator[Publisher]:
    settings = GatewaySettings(
        home=tmp_path, kafka_bootstrap="127.0.0.1:9", gateway_delivery_timeout_ms=DELIVERY_TIMEOUT_S * 1000
    )
    publisher = Publisher(settings, asyncio.get_running_loop())
    yield publisher
    await asyncio.to_thread(publisher.close)


async def test_it_refuses_at_once_while_the_broker_is_away(publisher: Publisher) -> None:
    started_s = time.monotonic()
    with pytest.raises(BrokerAway):
        publisher.check()
    with pytest.raises(BrokerAway):
        await publisher.publish([RECORD])
    assert time.monotonic() - started_s < DELIVERY_TIMEOUT_S
    assert publisher.missing()[0].startswith("Kafka at 127.0.0.1:9:")


async def test_nothing_to_publish_needs_no_broker(publisher: Publisher) -> None:
    await publisher.publish([])
