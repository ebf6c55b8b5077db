"""Names and shapes of all topics the stitcher touches, and of its consumer group.

Upstream: the topic specs of the contracts.
Downstream: ``app`` subscribes and sends by these names.
Guarantee: the state topic has as many partitions as the events topic, so that one number addresses an agent's
events, its state and its outputs.
"""

from dataclasses import dataclass, replace

from infra.runtime.topics import TopicSpec
from producers.contracts.topics import EVENTS, GUARD
from stream_jobs.contracts.topics import ALERTS, CARDS, SPANS, SPEND, TRACES
from stream_jobs.core.state import KEPT_US

GROUP = "clawtrace.stitcher"
MIB = 1024 * 1024
# Values of the state may be larger than an output record: a redo log, or a text kept for a span still open.
MAX_STATE_RECORD_BYTES = 4 * MIB

# The changelog of the stitcher's state. Ours rather than Faust's own declaration, so that it is created and verified
# like every other topic. Compacted: it is the only truth about the state. Deleted is only what nobody wrote for so long
# that the core refuses to go on with it.
STATE = TopicSpec(
    name="clawtrace.stitcher-state.v1",
    record_type=None,
    description="State of the stitcher, key by key; the local copy is rebuilt from it.",
    readers=("stitcher",),
    partitions=EVENTS.partitions,
    retention_ms=KEPT_US // 1000,
    config={
        "cleanup.policy": "compact,delete",
        "max.message.bytes": str(MAX_STATE_RECORD_BYTES + 1024),
        # Small segments and an early start: what is compacted need not be read back at a rebuild.
        "segment.bytes": str(64 * MIB),
        "min.cleanable.dirty.ratio": "0.3",
    },
)


@dataclass(frozen=True, slots=True)
class Topology:
    """All names for one install."""

    group: str
    events: str
    dead_letter: str
    spans: str
    traces: str
    alerts: str
    cards: str
    spend: str
    guard: str
    state: TopicSpec

    @classmethod
    def with_prefix(cls, prefix: str) -> "Topology":
        """Name everything, with a prefix before each name."""
        return cls(
            group=prefix + GROUP,
            events=prefix + EVENTS.name,
            dead_letter=prefix + EVENTS.dead_letter.name,
            spans=prefix + SPANS.name,
            traces=prefix + TRACES.name,
            alerts=prefix + ALERTS.name,
            cards=prefix + CARDS.name,
            spend=prefix + SPEND.name,
            guard=prefix + GUARD.name,
            state=replace(STATE, name=prefix + STATE.name),
        )

    @property
    def needed(self) -> tuple[str, ...]:
        """Topics that others create and that must be there before the start."""
        outputs = (self.spans, self.traces, self.alerts, self.cards, self.spend, self.guard)
        return (self.events, self.dead_letter, *outputs)


TOPICS: tuple[TopicSpec, ...] = (STATE,)
