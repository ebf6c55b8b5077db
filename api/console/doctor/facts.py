"""What the doctor looks at.

Upstream: api/console/doctor/gather.py; tests write their own.
Downstream: api/console/doctor/checks.py.
Guarantee: pure data. A part that is None could not be looked at; ``unknown`` says why, under the part's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessFact:
    """One process of the local stack; ``state`` is a word of `clawtrace status`, ``missing`` what it waits for."""

    name: str
    state: str
    num_restarts: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StackFacts:
    """The local stack, as its supervisor knows it. ``taken_ports`` names ports of ours that others hold."""

    is_running: bool
    processes: tuple[ProcessFact, ...] = ()
    taken_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The file system of the home folder."""

    folder: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """How the API answers. ``clock_ahead_s`` is how far its clock is ahead of this machine's."""

    url: str
    answers: bool
    missing: tuple[str, ...] = ()
    clock_ahead_s: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What the key is good for; ``role`` is empty when it opens nothing, then ``refusal`` says why."""

    role: str
    tenant_id: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """One agent that was ever seen; ``silent_s`` is how long ago its last span was."""

    agent_id: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class CaptureFacts:
    """What the plugin of one agent sent in the last day.

    ``delay_ms`` is the least time from an event to its receipt; below zero the agent's clock is ahead.
    """

    agent_id: str
    plugin_version: str
    host_version: str
    delay_ms: int
    hooks: frozenset[str]


@dataclass(frozen=True, slots=True)
class AlertFact:
    """One alert that holds."""

    rule: str
    agent_id: str
    message: str


@dataclass(frozen=True, slots=True)
class DeadLetterFact:
    """Dead letters of the last week that were not replayed."""

    topic: str
    stage: str
    num_letters: int
    last_reason: str


@dataclass(frozen=True, slots=True)
class TracyFacts:
    """Whether Tracy has a model."""

    is_configured: bool
    how_to_configure: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. ``gauges`` are metrics of the local processes, summed over their labels, by name."""

    stack: StackFacts | None = None
    disk: DiskFacts | None = None
    api: ApiFacts | None = None
    key: KeyFacts | None = None
    agents: tuple[AgentFacts, ...] | None = None
    captures: tuple[CaptureFacts, ...] | None = None
    alerts: tuple[AlertFact, ...] | None = None
    dead_letters: tuple[DeadLetterFact, ...] | None = None
    gauges: Mapping[str, float] | None = None
    tracy: TracyFacts | None = None
    newest_plugin: str = ""
    unknown: Mapping[str, str] = field(default_factory=dict)
