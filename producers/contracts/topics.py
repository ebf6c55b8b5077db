"""The topics that producers own.

Upstream: nothing.
Downstream: the gateway writes events, the stitcher and the sink read them; the guard runs the other way.
Guarantee: one agent is in one partition (key ``tenant|agent``), so its events keep their order.
"""

from infra.runtime.topics import DAY_MS, TopicSpec
from producers.contracts.event import EventBatch
from producers.contracts.guard import GuardMessage

EVENTS = TopicSpec(
    name="clawtrace.events.v1",
    record_type=EventBatch,
    description="Batches of events of one agent; the write-ahead log that everything else is rebuilt from.",
    readers=("stitcher", "sink"),
    retention_ms=14 * DAY_MS,
)

# The one backward edge: written by stream_jobs, read here, so that imports still run one way.
GUARD = TopicSpec(
    name="clawtrace.guard.v1",
    record_type=GuardMessage,
    description="Allowances and verdicts for agents that must slow down, ask or stop.",
    readers=("gateway", "sink"),
)

TOPICS: tuple[TopicSpec, ...] = (EVENTS, EVENTS.dead_letter, GUARD, GUARD.dead_letter)
