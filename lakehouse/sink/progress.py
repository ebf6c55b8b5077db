"""How far a table has been filled: the state that is committed with its rows.

Upstream: the table property ``clawtrace.sink``.
Downstream: where the consumer starts, and which records a table takes.
Guarantee: the table is the truth. Consumer group offsets are written for dashboards and never read.
"""

import json
import uuid
from dataclasses import dataclass, field

from lakehouse.sink.feeds import NO_MARK, Mark

PROPERTY = "clawtrace.sink"


@dataclass
class SourceProgress:
    """Progress of one table in one topic.

    ``topic_id`` tells a topic from a later one of the same name, whose offsets mean nothing here.
    ``next_mark`` is (rev, part + 1) of the last output record taken, by partition.
    """

    topic_id: str
    next_offset: dict[int, int] = field(default_factory=dict)
    next_mark: dict[int, Mark] = field(default_factory=dict)

    def has_offset(self, partition: int, offset: int) -> bool:
        """Whether the record is already in the table."""
        return offset < self.next_offset.get(partition, 0)

    def has_mark(self, partition: int, mark: Mark) -> bool:
        """Whether an output record of this mark is already in the table, under another offset."""
        return mark < self.next_mark.get(partition, NO_MARK)

    def advance(self, partition: int, offset: int, mark: Mark | None) -> None:
        """Note that the record was taken, or is to be passed over."""
        self.next_offset[partition] = offset + 1
        if mark is not None:
            self.next_mark[partition] = (mark[0], mark[1] + 1)

    def copy(self) -> "SourceProgress":
        """Copy that later records do not change."""
        return SourceProgress(self.topic_id, dict(self.next_offset), dict(self.next_mark))


@dataclass
class TableProgress:
    """Progress of one table in all its topics.

    ``epoch`` counts the commits of sinks; ``commit_id`` answers "was it mine?" when an answer got lost.
    """

    epoch: int = 0
    commit_id: str = ""
    sources: dict[str, SourceProgress] = field(default_factory=dict)

    def following(self) -> "TableProgress":
        """The state that the next commit writes, from what was taken so far."""
        sources = {topic: source.copy() for topic, source in self.sources.items()}
        return TableProgress(self.epoch + 1, uuid.uuid4().hex, sources)

    def to_json(self) -> str:
        """Text of the table property."""
        return json.dumps(
            {
                "epoch": self.epoch,
                "commit_id": self.commit_id,
                "sources": {
                    topic: {
                        "topic_id": source.topic_id,
                        "next_offset": source.next_offset,
                        "next_mark": source.next_mark,
                    }
                    for topic, source in self.sources.items()
                },
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | None) -> "TableProgress":
        """Read the table property; a table without it is at the very beginning."""
        if text is None:
            return cls()
        value = json.loads(text)
        sources = {
            topic: SourceProgress(
                topic_id=source["topic_id"],
                next_offset={int(number): offset for number, offset in source["next_offset"].items()},
                next_mark={int(number): (mark[0], mark[1]) for number, mark in source["next_mark"].items()},
            )
            for topic, source in value["sources"].items()
        }
        return cls(value["epoch"], value["commit_id"], sources)
