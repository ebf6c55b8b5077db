"""What a part of the stack is: a process or a one-shot step, and what must be up before it.

Upstream: topology.py lists the parts of the real stack; tests list small ones of their own.
Downstream: supervisor.py runs any such list.
Guarantee: pure data and bound functions; making a part starts nothing.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from infra.local.errors import StackError


class Kind(StrEnum):
    """How a part ends."""

    PROCESS = "process"  # runs until the stack goes down
    STEP = "step"  # runs once at each start of the stack and must end with 0


@dataclass(frozen=True)
class Launch:
    """How to start a part."""

    command: list[str]
    folder: Path
    environment: Mapping[str, str]
    user: tuple[int, int] | None = None


@dataclass(frozen=True)
class Part:
    """One part of the stack."""

    name: str
    kind: Kind
    launch: Callable[[], Launch]
    after: tuple[str, ...] = ()
    # Work before the first start, in a thread: folders, configuration, formatting.
    prepare: Callable[[], None] | None = None
    # Whether it does its work now; called in a thread, must end within a few seconds.
    probe: Callable[[], bool] | None = None
    ports: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15.0
    start_timeout_s: float = 180.0
    # A plain sentence for the last lines of its log, when they mean something known.
    explain: Callable[[str], str] = field(default=lambda _lines: "")


def select_parts(parts: Sequence[Part], names: Sequence[str]) -> list[Part]:
    """Take some parts only; what they wait for is forgotten when it is not among them.

    Raises:
        StackError: there is no part of that name.
    """
    known = [part.name for part in parts]
    if unknown := sorted(set(names) - set(known)):
        raise StackError(f"There is no part named {', '.join(unknown)}. The parts are: {', '.join(known)}.")
    return [part for part in parts if not names or part.name in names]


def stop_waves(parts: Sequence[Part]) -> list[list[Part]]:
    """Processes in the order in which they may stop: nobody before those that need it."""
    by_name = {part.name: part for part in parts}
    depths: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in depths:
            needs = [need for need in by_name[name].after if need in by_name]
            depths[name] = 1 + max((depth(need) for need in needs), default=0)
        return depths[name]

    processes = [part for part in parts if part.kind is Kind.PROCESS]
    levels = sorted({depth(part.name) for part in processes}, reverse=True)
    return [[part for part in processes if depth(part.name) == level] for level in levels]
