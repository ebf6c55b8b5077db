"""Dead letters: source records, or events of them, that could not be stitched.

Upstream: the stitcher.
Downstream: topic ``clawtrace.events.v1.dlq``; ``clawtrace dlq`` shows and replays them.
Guarantee: the bytes are kept as they came, with where they came from and why; and when too much is refused the
process stops, because the fault is then ours and the topic must not be emptied into the dead letters.
"""

from collections import deque
from typing import Final

from producers.contracts.event import DeadLetterStage

STAGE: Final[DeadLetterStage] = "stitcher"
MAX_REASON_BYTES: Final = 2_000
MAX_CONSECUTIVE: Final = 100
RATIO_WINDOW: Final = 10_000
MAX_IN_WINDOW: Final = RATIO_WINDOW * 5 // 100

Headers = list[tuple[str, bytes]]


class TooManyDeadLetters(Exception):
    """More was refused than can be the fault of single records."""


def dead_letter_headers(topic: str, partition: int, offset: int, reason: str) -> Headers:
    """Make the headers that say where a dead letter came from and why."""
    return [
        ("stage", STAGE.encode()),
        ("reason", reason.encode()[:MAX_REASON_BYTES]),
        ("original_topic", topic.encode()),
        ("original_partition", str(partition).encode()),
        ("original_offset", str(offset).encode()),
    ]


class DeadLetterLimit:
    """Counts good and bad records and says when to stop."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=RATIO_WINDOW)
        self._num_bad = 0
        self._consecutive = 0

    def good(self) -> None:
        """Count a record that was stitched."""
        self._consecutive = 0
        self._count(bad=False)

    def bad(self) -> None:
        """Count a record that was refused.

        Raises:
            TooManyDeadLetters: more than 100 in a row, or more than 5 % of the last 10,000.
        """
        self._consecutive += 1
        self._count(bad=True)
        if self._consecutive > MAX_CONSECUTIVE:
            raise TooManyDeadLetters(f"{self._consecutive} records in a row could not be stitched")
        if self._num_bad > MAX_IN_WINDOW:
            raise TooManyDeadLetters(f"{self._num_bad} of the last {RATIO_WINDOW} records could not be stitched")

    def _count(self, *, bad: bool) -> None:
        if len(self._recent) == RATIO_WINDOW:
            self._num_bad -= self._recent[0]
        self._recent.append(bad)
        self._num_bad += bad
