"""The values one batch reads and changes: each decoded once, each encoded once.

Upstream: the store, through ``StateReader``.
Downstream: every rule of ``stream_jobs.core`` works on it; ``stitch`` takes the changes out at the end.
Guarantee: the store is never written; what comes out is in the order of first change, so it is deterministic.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from producers.contracts.event import Event
from producers.contracts.guard import Verdict
from stream_jobs.contracts.alert import Alert
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.keys import (
    SEPARATOR,
    agent_ref,
    attempt_ref,
    attempts_ref,
    call_ref,
    child_ref,
    guard_ref,
    harness_ref,
    join_ref,
    memory_ref,
    payload_ref,
    run_ref,
    session_ref,
    spool_ref,
    tool_ref,
    trace_ref,
    wait_ref,
    watch_ref,
)
from stream_jobs.core.rollup import Contribution, contribution_of
from stream_jobs.core.state import (
    AgentState,
    AttemptsState,
    AttemptState,
    CallState,
    GuardState,
    JoinState,
    LinkState,
    Node,
    RunState,
    SessionState,
    SpoolState,
    StateReader,
    ToolState,
    TraceState,
    WaitState,
    WatchPage,
)

if TYPE_CHECKING:
    from stream_jobs.core.detect.rulebook import RuleBook, TableName
    from stream_jobs.core.detect.settings import RuleSettings

Settings = TypeVar("Settings", bound="RuleSettings")
Value = TypeVar("Value", bound=msgspec.Struct)

_TYPES: dict[str, type[msgspec.Struct]] = {
    "r": RunState,
    "c": CallState,
    "t": ToolState,
    "x": TraceState,
    "e": SessionState,
    "j": JoinState,
    "d": SpoolState,
    "h": LinkState,
    "w": WaitState,
    "a": AttemptState,
    "b": AttemptsState,
    "g": GuardState,
    "y": AgentState,
    "o": WatchPage,
}
_DECODERS = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in _TYPES.items()}
_decoder_of = cache(msgspec.msgpack.Decoder)
_encoder = msgspec.msgpack.Encoder()
_MEMORY = memory_ref("")
# A value that grew with the length of a trace would one day be more than a record holds.
MAX_WAITING_ON_PAGE = 256


class Workspace:
    """State, outputs and circumstances of one batch."""

    def __init__(
        self,
        reader: StateReader,
        *,
        tenant_id: str,
        agent_id: str,
        spool_id: str,
        rev: int,
        received_at_us: int,
        pricer: PriceBook,
        rules: "RuleBook",
        host_version: str = "",
    ) -> None:
        self.tenant_id = tenant_id
        self.agent_id = agent_id
        self.spool_id = spool_id
        self.rev = rev
        # By the server's clock, unlike the instants of events.
        self.received_at_us = received_at_us
        # Of OpenClaw, as the plugin told it with this batch; "" when it did not.
        self.host_version = host_version
        self.pricer = pricer
        self._settings = rules.of_agent(tenant_id, agent_id)
        self.counts: Counter[str] = Counter()
        # By alert: the newest state, and the newest other than ok.
        self.alerts: dict[str, Alert] = {}
        self._raised: dict[str, Alert] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.num_verdicts_shown = 0
        self.facts: list[Fact] = []
        self._num_taken = 0
        # What one rule has worked out and others need too, by the name of the module that put it there.
        self.shared: dict[str, object] = {}
        self.texts: dict[str, bytes] = {}
        self.touched: dict[str, Node] = {}
        self.touched_traces: dict[str, TraceState] = {}
        self.to_relink: dict[str, None] = {}
        self.to_settle: dict[str, RunState] = {}
        self.before: dict[str, Contribution | None] = {}
        self.was_open: dict[str, bool] = {}
        # Runs that events of this batch told something of.
        self.heard: dict[str, RunState] = {}
        self._reader = reader
        self._prefix = f"{tenant_id}|{agent_id}{SEPARATOR}"
        self._values: dict[str, msgspec.Struct | None] = {}
        self._changed: dict[str, None] = {}
        self._children: dict[str, str] = {}

    def key(self, ref: str) -> bytes:
        """Full key in the store."""
        return (self._prefix + ref).encode()

    def find(self, ref: str) -> msgspec.Struct | None:
        """Return a value, decoded once, or None."""
        if ref in self._values:
            return self._values[ref]
        raw = self._reader.get(self.key(ref))
        value: msgspec.Struct | None = None if raw is None else _DECODERS[ref[0]].decode(raw)
        self._values[ref] = value
        if isinstance(value, Node):
            self.before[ref] = contribution_of(value)
            self.was_open[ref] = value.is_open
        return value

    def _get_or_make(self, ref: str, make: Callable[[], Value]) -> Value:
        value = self.find(ref)
        if value is None:
            value = make()
            self.put(ref, value)
        return cast(Value, value)

    @property
    def has_changes(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._changed or self._children)

    def put(self, ref: str, value: msgspec.Struct) -> None:
        """Take a new value."""
        self._values[ref] = value
        self._changed[ref] = None

    def change(self, ref: str) -> None:
        """Note that a value was changed in place."""
        self._changed[ref] = None

    def is_changed(self, ref: str) -> bool:
        """Whether a value was changed in this batch."""
        return ref in self._changed

    def touch(self, node: Node) -> None:
        """Note that a node was changed so that its span must be sent again."""
        if isinstance(node, RunState):
            self.to_settle[node.ref] = node
        if node.ref not in self.touched:
            self.touched[node.ref] = node
            self._changed[node.ref] = None

    def note(self, kind: FactKind, ref: str, event: Event) -> None:
        """Note a fact for the rules."""
        self.facts.append(Fact(kind, ref, event.at_us, event.seq))

    def take_facts(self) -> list[Fact]:
        """Return the facts noted since the last time; all stay in ``facts``."""
        taken, self._num_taken = self.facts[self._num_taken :], len(self.facts)
        return taken

    def tell(self, alert: Alert) -> None:
        """Take a new state of an alert."""
        self.alerts[alert.alert_id] = alert
        if alert.state != "ok":
            self._raised[alert.alert_id] = alert

    def told_alerts(self) -> Iterator[Alert]:
        """Yield the newest state of each alert; one that is over already is told as it was raised, too."""
        for alert_id, alert in self.alerts.items():
            raised = self._raised.get(alert_id)
            if raised is not None and raised is not alert:
                yield raised
            yield alert

    def settings(self, rule: "TableName", settings_type: type[Settings]) -> Settings:
        """Return the settings of a rule for this agent."""
        found = self._settings[rule]
        assert isinstance(found, settings_type)
        return found

    def memory(self, name: str, type_: type[Value]) -> Value:
        """Return what a rule remembers under a name, made (not stored unless changed) when there is nothing."""
        ref = _MEMORY + name
        value = self._values.get(ref)
        if value is None:
            raw = None if ref in self._values else self._reader.get(self.key(ref))
            value = type_() if raw is None else _decoder_of(type_).decode(raw)
            self._values[ref] = value
        assert isinstance(value, type_)
        return value

    def change_memory(self, name: str) -> None:
        """Note that what a rule remembers was changed in place."""
        self._changed[_MEMORY + name] = None

    def forget_memory(self, name: str) -> None:
        """Drop what a rule remembers under a name."""
        self.drop(memory_ref(name))

    def drop(self, ref: str) -> None:
        """Delete a value."""
        self._values[ref] = None
        self._changed[ref] = None

    def find_node(self, ref: str) -> Node | None:
        """Return a run, model call or tool call by its key, or None."""
        value = self.find(ref)
        return value if isinstance(value, Node) else None

    def find_run(self, run_id: str) -> RunState | None:
        """Return a run, or None."""
        value = self.find(run_ref(run_id))
        return value if isinstance(value, RunState) else None

    def run(self, run_id: str) -> RunState:
        """Return a run, made when it was unknown."""
        ref = run_ref(run_id)
        return self._get_or_make(ref, lambda: RunState(ref=ref, run_id=run_id))

    def find_call(self, span_id: str) -> CallState | None:
        """Return a model call, or None."""
        value = self.find(call_ref(span_id))
        return value if isinstance(value, CallState) else None

    def call(self, span_id: str, run_id: str) -> CallState:
        """Return a model call, made when it was unknown."""
        ref = call_ref(span_id)
        return self._get_or_make(ref, lambda: CallState(ref=ref, span_id=span_id, run_id=run_id))

    def tool(self, run_id: str, tool_call_id: str) -> ToolState:
        """Return a tool call, made when it was unknown."""
        ref = tool_ref(run_id, tool_call_id)
        return self._get_or_make(ref, lambda: ToolState(ref=ref, run_id=run_id, tool_call_id=tool_call_id))

    def attempt(self, run_id: str, seq: int) -> AttemptState:
        """Return an attempt, made when it was unknown."""
        ref = attempt_ref(run_id, seq)
        return self._get_or_make(ref, lambda: AttemptState(ref=ref, run_id=run_id, seq=seq))

    def attempts(self, run_id: str) -> AttemptsState:
        """Return what is known of the attempts of a run, made when there was nothing."""
        return self._get_or_make(attempts_ref(run_id), AttemptsState)

    def guard(self, guard_id: str, run_id: str) -> GuardState:
        """Return a decision or a verdict, made when it was unknown."""
        ref = guard_ref(guard_id)
        return self._get_or_make(ref, lambda: GuardState(ref=ref, guard_id=guard_id, run_id=run_id))

    def agent(self) -> AgentState:
        """Return what is known of the agent itself; not stored unless changed."""
        value = self.find(agent_ref())
        if not isinstance(value, AgentState):
            value = self._values[agent_ref()] = AgentState()
        return value

    def watch_page(self, page: int) -> WatchPage:
        """Return a page of watched runs, made when it was unknown."""
        return self._get_or_make(watch_ref(page), WatchPage)

    def find_trace(self, trace_id: str) -> TraceState | None:
        """Return a trace, or None."""
        value = self.find(trace_ref(trace_id))
        return value if isinstance(value, TraceState) else None

    def session(self, session_key: str) -> SessionState:
        """Return a session, made when it was unknown."""
        return self._get_or_make(session_ref(session_key, self.spool_id), SessionState)

    def join(self, session_key: str) -> JoinState:
        """Return what is being joined in a session, made when there was none."""
        return self._get_or_make(join_ref(session_key, self.spool_id), JoinState)

    def spool(self) -> SpoolState:
        """Return the spool of this batch, made when it was unknown."""
        ref = spool_ref(self.spool_id)
        value = self.find(ref)
        if not isinstance(value, SpoolState):
            value = SpoolState()
            self._values[ref] = value
        return value

    def find_harness_run(self, span_id: str) -> str:
        """Return the id of the run that claimed a harness span, or ""."""
        value = self.find(harness_ref(span_id))
        return value.run_id if isinstance(value, LinkState) else ""

    def waiting(self, span_id: str) -> Iterator[str]:
        """Yield the ids of the runs that wait for a harness span."""
        newest = self._wait_page(wait_ref(span_id))
        for number in range(newest.num_pages_before):
            yield from self._wait_page(wait_ref(span_id, number)).run_ids
        yield from newest.run_ids

    def wait_for(self, span_id: str, run_id: str) -> None:
        """Let a run wait for a harness span. Thousands may: a full page is put aside and never changed again."""
        newest = self._wait_page(wait_ref(span_id))
        if len(newest.run_ids) >= MAX_WAITING_ON_PAGE:
            self.put(wait_ref(span_id, newest.num_pages_before), WaitState(newest.run_ids))
            newest = WaitState(num_pages_before=newest.num_pages_before + 1)
        newest.run_ids = [*newest.run_ids, run_id]
        self.put(wait_ref(span_id), newest)

    def _wait_page(self, ref: str) -> WaitState:
        value = self.find(ref)
        return value if isinstance(value, WaitState) else WaitState()

    def add_child(self, parent: Node, child: Node) -> None:
        """Note a child of a parent for good; whoever walks the children looks whether it still is one."""
        ref = child_ref(parent.ref, parent.num_children)
        self._children[ref] = child.ref
        parent.num_children += 1
        self.change(parent.ref)

    def children(self, parent: Node) -> Iterator[Node]:
        """Yield the nodes that hang directly under a parent now."""
        for number in range(parent.num_children):
            child = self.child(parent, number)
            if child is not None and child.parent_ref == parent.ref:
                yield child

    def child(self, parent: Node, number: int) -> Node | None:
        """Return the n-th child a parent was ever given."""
        ref = child_ref(parent.ref, number)
        found = self._children.get(ref)
        if found is None:
            raw = self._reader.get(self.key(ref))
            found = None if raw is None else raw.decode()
        return None if found is None else self.find_node(found)

    def put_text(self, event: Event, letter: str, text: bytes) -> str:
        """Keep a text under the id of its event; returns the id of the text."""
        text_id = f"{event.event_id}{letter}"
        self.texts[text_id] = text
        return text_id

    def text(self, text_id: str) -> str | None:
        """Return a kept text."""
        if not text_id:
            return None
        raw = self.texts.get(text_id)
        if raw is None:
            raw = self._reader.get(self.key(payload_ref(text_id)))
        return None if raw is None else raw.decode(errors="replace")

    def changes(self) -> dict[bytes, bytes | None]:
        """Encode what was changed, in the order of first change."""
        encoded: dict[bytes, bytes | None] = {}
        for ref in self._changed:
            value = self._values[ref]
            encoded[self.key(ref)] = None if value is None else _encoder.encode(value)
        for ref, child in self._children.items():
            encoded[self.key(ref)] = child.encode()
        return encoded
