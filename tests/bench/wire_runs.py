"""Captured runs as request bodies, made so cheaply that what sends them takes little from what is measured.

Upstream: the captures.
Downstream: the parts that need thousands of events a second.
Guarantee: each copy is a run of its own, under new ids, in a spool of its own; a body is what the plugin would send.
"""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.captures import SCENARIOS
from tests.integration.doors import wire_batch
from tests.load import RunTemplate, ids_of

BATCH_EVENTS = 50
_SPOOL = "00000000-0000-4000-8000-00000000ffff"


@dataclass(frozen=True)
class Body:
    """One request: the JSON of a wire batch."""

    value: bytes
    num_events: int


class WireTemplate:
    """One capture, cut at its ids, so that a copy is made by joining pieces."""

    def __init__(self, scenario: str) -> None:
        """Read the capture; its events lie a moment back from now."""
        template = RunTemplate(scenario)
        lines = template.lines("wire")
        found: set[str] = set()
        ids_of(lines, found)
        ids = sorted(found, key=len, reverse=True)
        pattern = re.compile("(" + "|".join(re.escape(it) for it in [*ids, _SPOOL]) + ")")
        self.num_events = len(lines)
        self._number_of = {it: number for number, it in enumerate([*ids, _SPOOL])}
        self._ids = [*ids, _SPOOL]
        self._bodies = []
        for first in range(0, len(lines), BATCH_EVENTS):
            part = lines[first : first + BATCH_EVENTS]
            self._bodies.append((pattern.split(json.dumps(wire_batch(part, _SPOOL, first))), len(part)))

    def bodies(self, copy: str) -> list[Body]:
        """The run under the ids of ``copy``."""
        digits = hashlib.shake_128(copy.encode()).hexdigest(32 * len(self._ids))
        made = [_renamed(old, digits[32 * number : 32 * number + 32]) for number, old in enumerate(self._ids)]
        return [
            Body("".join(made[self._number_of[it]] if it in self._number_of else it for it in pieces).encode(), count)
            for pieces, count in self._bodies
        ]


def _renamed(old: str, digits: str) -> str:
    if old == _SPOOL:
        return str(uuid.UUID(digits))
    return digits[: len(old)] if re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{32}", old) else f"{old}-{digits[:8]}"


class RunMaker:
    """Runs of all captures in turn."""

    def __init__(self, name: str, scenarios: Sequence[str] = SCENARIOS) -> None:
        """``name`` makes the runs of two makers differ."""
        self._name = f"{name}-{time.time_ns()}"
        self._templates = [WireTemplate(scenario) for scenario in scenarios]

    def runs(self) -> Iterator[list[Body]]:
        """One run after the other, for ever."""
        number = 0
        while True:
            for template in self._templates:
                yield template.bodies(f"{self._name}-{number}")
                number += 1

    def bodies(self, num_events: int) -> list[Body]:
        """Bodies of whole runs, until they hold so many events."""
        made: list[Body] = []
        runs = self.runs()
        while sum(body.num_events for body in made) < num_events:
            made += next(runs)
        return made
