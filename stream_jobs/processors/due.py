"""Which agents of a partition ticks have to visit.

Upstream: a key of its own for each agent, written with the agent's changes; ticks.
Downstream: ``preparation`` visits these agents.
Guarantee: follows from the state, the tick before and this tick alone, so a tick that is read again leads to the same
visits in the same order.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from stream_jobs.core.stitch import AgentDue

DUE_PREFIX: Final = b"d"
# Key of the newest tick of a partition.
TICK_KEY: Final = b"t"
US_PER_MINUTE: Final = 60_000_000

# The number of an agent is above that of its parts: all fits into the 53 bits that JSON readers have.
_NUMBER_BITS: Final = 44
PART_BITS: Final = 8

_decoder = msgspec.msgpack.Decoder(AgentDue)
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Visit:
    """One agent that a tick visits; parts of its outputs are numbered from ``first_part``."""

    first_part: int
    agent_key: bytes
    is_minute: bool


def first_part_of(agent_key: bytes) -> int:
    """Return the number of an agent's first part in the outputs of a tick."""
    digest = hashlib.sha256(agent_key).digest()
    return int.from_bytes(digest[:8]) >> (64 - _NUMBER_BITS) << PART_BITS


class DueIndex:
    """Agents of one partition and when they are due."""

    def __init__(self, stored: Iterable[tuple[bytes, bytes]]) -> None:
        self._due = {key.removeprefix(DUE_PREFIX): _decoder.decode(value) for key, value in stored}

    @staticmethod
    def record(agent_key: bytes, due: AgentDue) -> tuple[bytes, bytes]:
        """Return key and value under which this is stored."""
        return DUE_PREFIX + agent_key, _encoder.encode(due)

    def note(self, agent_key: bytes, due: AgentDue) -> None:
        """Take what is stored from now on."""
        self._due[agent_key] = due

    def next_visit_us(self, after_us: int) -> int | None:
        """Return the earliest instant after a tick at which another one has an agent to visit; None when none has."""
        minute_us = (after_us // US_PER_MINUTE + 1) * US_PER_MINUTE
        wanted = [max(due.at_us, after_us + 1) for due in self._due.values() if due.at_us > 0]
        if any(minute_us <= due.every_minute_until_us for due in self._due.values()):
            wanted.append(minute_us)
        return min(wanted, default=None)

    def visits(self, before_us: int, at_us: int) -> Iterator[Visit]:
        """Yield the agents that a tick visits, in the order of their numbers.

        Args:
            before_us: instant of the tick before.
            at_us: instant of this tick.
        """
        is_minute = before_us // US_PER_MINUTE != at_us // US_PER_MINUTE
        found = sorted(
            (first_part_of(agent_key), agent_key)
            for agent_key, due in self._due.items()
            if 0 < due.at_us <= at_us or (is_minute and at_us <= due.every_minute_until_us)
        )
        last = -1
        for first_part, agent_key in found:
            # Two agents of one number cannot both send in one tick; the second is visited when it is alone.
            if first_part != last:
                yield Visit(first_part, agent_key, is_minute)
            last = first_part
