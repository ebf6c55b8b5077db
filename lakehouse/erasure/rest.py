"""Where bytes of what was erased are left, and until when: the honest end of a receipt.

Upstream: the specs of the topics, and what the broker says of them.
Downstream: lakehouse.erasure.eraser puts it into the receipt.
Guarantee: an instant is given only where it follows from the topic's own settings. A record goes with its segment: not
before retention has passed since the newest record of the segment, which takes records until it is full or its time is
up.
"""

from datetime import datetime, timedelta
from typing import Final

from infra.runtime.kafka import read_topic_config
from infra.runtime.settings import StackSettings
from lakehouse.contracts.erasure import OtherRest, TopicRest
from producers.contracts.topics import TOPICS as PRODUCER_TOPICS
from stream_jobs.contracts.topics import TOPICS as STREAM_TOPICS

# The broker looks for what may go every five minutes, and deletes files a minute later.
_SLACK: Final = timedelta(minutes=10)

ELSEWHERE: Final = (
    OtherRest(
        place="the stitcher's state",
        what="numbers and short texts of runs, on its disk and in the topic clawtrace.stitcher-state.v1",
        until="it closes the trace, at the latest when the trace has been silent for a day; compaction follows",
    ),
    OtherRest(
        place="the agent's machine",
        what="OpenClaw's transcripts, and what the plugin's spool has not sent; what still comes is not stored",
        until="whoever keeps that machine removes it",
    ),
    OtherRest(
        place="settings in Postgres",
        what="keys, members, budgets, rules, channels and the audit log of the tenant; they hold no contents",
        until="an admin removes them; the audit log stays",
    ),
    OtherRest(
        place="the learner's memory in Postgres",
        what="cost, counts, labels and task of the runs; scores and comments that were given within a day",
        until="CLAWTRACE_LEARNER_KEEP_DAYS, by default 90 days, are over; what was given a day after it was",
    ),
    OtherRest(
        place="messages",
        what="alerts that were told to people, and conversations with Tracy, which may quote a trace",
        until="whoever got them, or keeps the conversation, removes them",
    ),
    OtherRest(
        place="files that were never finished",
        what="what a process wrote into the warehouse when it was killed; no engine can read such a file",
        until="the upkeep removes orphan files, by default after seven days",
    ),
    OtherRest(
        place="backups and logs",
        what="copies of warehouse and database; logs name ids, not contents",
        until="their own rules remove them",
    ),
)


def topics_left(settings: StackSettings, topic_prefix: str, since: datetime) -> list[TopicRest]:
    """Say of each topic until when it may hold records that were written before an instant.

    Raises:
        KafkaAway: the broker does not answer.
    """
    names = [f"{topic_prefix}{spec.name}" for spec in (*PRODUCER_TOPICS, *STREAM_TOPICS)]
    config = read_topic_config(settings.kafka_bootstrap, names)
    return [_rest(name, config[name], since) for name in names if name in config]


def _rest(name: str, config: dict[str, str], since: datetime) -> TopicRest:
    retention_ms = int(config.get("retention.ms", "-1"))
    if retention_ms < 0 or "delete" not in config.get("cleanup.policy", "delete"):
        return TopicRest(topic=name, retention_hours=None, gone_by=None)
    segment_ms = int(config["segment.ms"]) if "segment.ms" in config else None
    gone_by = None
    if segment_ms is not None:
        gone_by = since + timedelta(milliseconds=retention_ms + segment_ms) + _SLACK
    return TopicRest(topic=name, retention_hours=retention_ms / 3_600_000, gone_by=gone_by)
