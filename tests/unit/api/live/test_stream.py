"""A stream that begins while the window still fills with what lay in the topics."""

import asyncio
from typing import Any

import msgspec

from api.live.history import Chunk
from api.live.hub import Arrival, LiveHub
from api.live.position import Layout, Position, furthest, offset_of, place_value
from api.live.records import decode_record
from api.live.stream import LiveFilter, LiveStream
from tests.integration.api.live_topics import spans_of

NUM_RECORDS = 40
BATCH_RECORDS = 10
# Room for two records or so.
TENANT_BYTES = 2_000


def arrival(offset: int) -> Arrival:
    decoded = decode_record(0, msgspec.json.encode(spans_of("tenant1", offset + 1, f"s{offset}")))
    return Arrival(0, offset, offset, decoded)


class Topic:
    """The one partition of the one topic as the broker has it: it gives whatever is asked for."""

    def __init__(self, start: Position, until: Position) -> None:
        self._start, self._until = start, until

    async def open(self) -> None:
        """All of it is there."""

    async def next(self) -> Chunk:
        """Give all records up to the place."""
        offsets = range(offset_of(self._start[0]), offset_of(self._until[0]))
        return Chunk([arrival(offset) for offset in offsets], furthest(self._start, self._until), is_last=True)

    async def close(self) -> None:
        """Nothing is held."""


async def test_what_the_filling_window_puts_out_is_read_from_the_topics() -> None:
    hub = LiveHub(
        Layout((1,)), (0,), (place_value(NUM_RECORDS),), max_age_us=10**9, tenant_bytes=TENANT_BYTES, total_bytes=10**7
    )
    topic: Any = Topic
    stream = LiveStream(hub, "tenant1", LiveFilter(), (0,), history=topic, max_behind=5, lasts_s=60)
    text = b""

    async def read() -> None:
        nonlocal text
        async for chunk in stream.chunks():
            text += chunk

    reading = asyncio.create_task(read())
    for first in range(0, NUM_RECORDS, BATCH_RECORDS):
        # The stream comes to the end of what is there before more comes.
        for _ in range(20):
            await asyncio.sleep(0)
        hub.accept([arrival(offset) for offset in range(first, first + BATCH_RECORDS)])
    async with asyncio.timeout(60):
        while text.count(b"event: span") < NUM_RECORDS:
            await asyncio.sleep(0)
            assert b"event: missed" not in text
    stream.end()
    await asyncio.wait_for(reading, 60)
    seen = [line for line in text.decode().splitlines() if line.startswith("data: ")]
    assert [msgspec.json.decode(line[6:])["span_id"] for line in seen] == [f"s{at}" for at in range(NUM_RECORDS)]
    assert b"event: missed" not in text
