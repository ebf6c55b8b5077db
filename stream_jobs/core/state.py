"""What the stitcher remembers: small values under many keys, one per span, run, trace, session and spool.

Upstream: the rules of ``stream_jobs.core`` change these values through a ``Workspace``.
Downstream: a key-value store that holds all keys of one agent in one partition.
Guarantee: no value grows with the length of a trace; what grows (children of a span, texts) has keys of its own.
"""

from decimal import Decimal
from typing import Protocol

import msgspec

from producers.contracts.usage import TokenUsage

NO_SEQ = -1
NO_TOKENS = TokenUsage()


class StateReader(Protocol):
    """Read access to the store."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of a key, or None."""
        ...


class Node(msgspec.Struct, array_like=True):
    """What every span has: its place in the tree and its times.

    A node may be known before it is ``seen``: a link named it. It becomes a span when it is seen and its trace known.
    """

    ref: str
    seen: bool = False
    trace_id: str = ""
    span_id: str = ""
    parent_ref: str = ""
    parent_span_id: str = ""
    num_children: int = 0
    link_rev: int = NO_SEQ
    started_at_us: int = 0
    ended_at_us: int = 0
    status: str = "running"
    error: str = ""
    input_id: str = ""
    input_rank: int = 9
    output_id: str = ""
    output_seq: int = NO_SEQ
    payload_cut: bool = False
    payload_ref: str = ""
    session_key: str = ""
    openclaw_agent_id: str = ""

    @property
    def is_span(self) -> bool:
        """Whether this node can be shown."""
        return self.seen and bool(self.trace_id)

    @property
    def is_open(self) -> bool:
        """Whether it goes on, as far as is known."""
        return self.seen and self.status == "running"


class RunState(Node, array_like=True):
    """One run: facts by which it is linked and closed, and the totals of its own model calls."""

    run_id: str = ""
    trigger: str = ""
    provider: str = ""
    model: str = ""
    model_seq: int = NO_SEQ
    name: str = ""
    name_rank: int = 9
    first_seq: int = NO_SEQ
    # links
    harness_ids: list[str] = []
    harness_parent_id: str = ""
    spawn_ref: str = ""
    requester_session: str = ""
    is_orphan: bool = False
    is_given_up: bool = False
    # opening and closing facts, by sequence number
    open_seq: int = NO_SEQ
    close_seq: int = NO_SEQ
    closed_at_us: int = 0
    stop_seq: int = NO_SEQ
    stopped_at_us: int = 0
    end_seq: int = NO_SEQ
    end_failed: bool = False
    end_error: str = ""
    verdict_seq: int = NO_SEQ
    verdict_settled: bool = False
    verdict_error: str = ""
    verdict_failed: bool = False
    halt_seq: int = NO_SEQ
    halt_error: str = ""
    last_call_seq: int = NO_SEQ
    last_call_id: str = ""
    # attempts and tokens
    attempt_seqs: list[int] = []
    num_outputs: int = 0
    reported_usage: TokenUsage = NO_TOKENS
    reported_usd: Decimal = Decimal(0)
    num_calls: int = 0
    num_priced: int = 0
    usage: TokenUsage = NO_TOKENS
    cost_usd: Decimal = Decimal(0)
    call_reported_usd: Decimal = Decimal(0)
    missing_ids: list[str] = []
    num_missing_unnamed: int = 0
    remainder_id: str = ""
    is_mismatch: bool = False
    # Its place in stored values is taken.
    was_alerted: bool = False
    flags: list[str] = []
    # sub-agents: asked for, and what their requester was told of their end
    label: str = ""
    spawn_seq: int = NO_SEQ
    spawned_at_us: int = 0
    told_end_seq: int = NO_SEQ
    told_ended_at_us: int = 0
    told_outcome: str = ""
    told_error: str = ""
    # Whether nothing but its spawn or its compaction hooks has told of it.
    is_inferred: bool = False
    # silence
    newest_seq: int = NO_SEQ
    last_at_us: int = 0
    last_received_us: int = 0
    is_silent: bool = False
    watch_slot: int = -1
    # Calls that have not ended, and how many of these are tools.
    num_open: int = 0
    num_open_tools: int = 0
    # What the run was labelled with first.
    labels: dict[str, str] = {}
    labels_seq: int = NO_SEQ

    @property
    def is_side_run(self) -> bool:
        """Whether the host started this run for its own upkeep: memory flush, compaction, skill review."""
        return (
            self.trigger == "memory"
            or is_compaction(self.run_id)
            or self.run_id.startswith("skill-workshop-review:")
            or ":internal-session-effects:" in self.session_key
        )


class CallState(Node, array_like=True):
    """One model call with its usage from each source."""

    run_id: str = ""
    started_seq: int = NO_SEQ
    ended_seq: int = NO_SEQ
    duration_ms: int = NO_SEQ
    is_failed: bool = False
    attempt: int = 1
    provider: str = ""
    model: str = ""
    message_seq: int = NO_SEQ
    message_usage: TokenUsage | None = None
    message_usd: Decimal | None = None
    message_error: str = ""
    diagnostic_usage: TokenUsage | None = None
    diagnostic_usd: Decimal | None = None
    remainder_usage: TokenUsage | None = None
    remainder_usd: Decimal | None = None
    cost_usd: Decimal | None = None
    price_id: str = ""
    is_mismatch: bool = False
    diagnosed_seq: int = NO_SEQ

    @property
    def seq(self) -> int:
        """Where the call stands among the events: its start, else its end."""
        if self.started_seq != NO_SEQ:
            return self.started_seq
        return self.ended_seq if self.ended_seq != NO_SEQ else self.diagnosed_seq

    @property
    def usage(self) -> TokenUsage | None:
        """The tokens that count: of the best source there is."""
        if self.message_usage is not None:
            return self.message_usage
        return self.diagnostic_usage if self.diagnostic_usage is not None else self.remainder_usage

    @property
    def reported_usd(self) -> Decimal | None:
        """OpenClaw's own estimate, of the same source."""
        if self.message_usage is not None:
            return self.message_usd
        return self.diagnostic_usd if self.diagnostic_usage is not None else self.remainder_usd


class ToolState(Node, array_like=True):
    """One tool call."""

    run_id: str = ""
    tool_call_id: str = ""
    tool_name: str = ""
    started_seq: int = NO_SEQ
    ended_seq: int = NO_SEQ
    duration_ms: int = NO_SEQ
    exit_code: int | None = None
    flags: list[str] = []

    @property
    def seq(self) -> int:
        """Where the call stands among the events: its start, else its end."""
        return self.started_seq if self.started_seq != NO_SEQ else self.ended_seq


class AttemptState(Node, array_like=True):
    """One attempt of a run that had several; the facts about it are in ``AttemptsState``."""

    run_id: str = ""
    seq: int = NO_SEQ
    number: int = 1
    last_call_seq: int = NO_SEQ
    last_call_id: str = ""
    # OpenClaw's span id of the attempt.
    harness_id: str = ""


class GuardState(Node, array_like=True):
    """One decision of the guard in the agent, or one verdict that the agent was told."""

    run_id: str = ""
    guard_id: str = ""
    action: str = ""
    is_verdict: bool = False


class AttemptStart(msgspec.Struct, array_like=True):
    """A model was asked anew."""

    seq: int
    at_us: int = 0
    harness_id: str = ""


class AttemptEnd(msgspec.Struct, array_like=True):
    """A sign that an attempt has ended."""

    seq: int
    at_us: int = 0
    is_failed: bool = False
    output_id: str = ""


class AttemptsState(msgspec.Struct, array_like=True):
    """Beginnings and ends of the attempts of a run, each by sequence number."""

    starts: list[AttemptStart] = []
    ends: list[AttemptEnd] = []


class TopRun(msgspec.Struct, array_like=True, order=True):
    """A run without a parent of its own; the least of a trace is its root."""

    is_side_run: bool
    first_seq: int
    run_id: str


class TraceState(msgspec.Struct, array_like=True):
    """Sums of one trace; ``counts`` is laid out by ``stream_jobs.core.rollup``."""

    trace_id: str
    trace_date: str
    started_at_us: int = 0
    ended_at_us: int = 0
    counts: list[int] = []
    usage: TokenUsage = NO_TOKENS
    cost_usd: Decimal = Decimal(0)
    reported_usd: Decimal = Decimal(0)
    models: list[str] = []
    top_runs: list[TopRun] = []


class SessionState(msgspec.Struct, array_like=True):
    """The newest run of a session, for what names only the session."""

    last_run_id: str = ""
    last_seq: int = NO_SEQ
    end_seq: int = NO_SEQ
    reply_run_id: str = ""
    reply_seq: int = NO_SEQ
    # The newest runs, by first sequence number.
    recent: list[tuple[int, str]] = []
    # When the session is a sub-agent's: its run, and what the requester was told of its end.
    spawned_run_id: str = ""
    spawned_seq: int = NO_SEQ
    told_end_seq: int = NO_SEQ
    told_ended_at_us: int = 0
    told_outcome: str = ""
    told_error: str = ""


class JoinItem(msgspec.Struct, array_like=True):
    """An ended model call (``call_id`` is set) or an assistant message, waiting to be joined."""

    seq: int
    call_id: str = ""
    is_failed: bool = False
    usage: TokenUsage | None = None
    reported_usd: Decimal | None = None
    error: str = ""
    is_stop: bool = False
    is_synthetic: bool = False
    is_halt: bool = False
    content_id: str = ""
    content_cut: bool = False
    at_us: int = 0
    joined_seq: int = NO_SEQ
    is_settled: bool = False


class JoinState(msgspec.Struct, array_like=True):
    """Calls and messages of one session in one spool that could still change partners, by sequence number."""

    items: list[JoinItem] = []


class PendingRun(msgspec.Struct, array_like=True):
    """A run whose trace is not known yet, and the earliest sign of its end."""

    run_id: str
    session_key: str
    first_seq: int
    end_seq: int = NO_SEQ


class CompactionSign(msgspec.Struct, array_like=True, order=True):
    """A hook around a compaction (``what`` is b or a), or the first sign of a compaction's run (r)."""

    seq: int
    what: str
    session_key: str
    run_id: str = ""
    at_us: int = 0
    text_id: str = ""
    # Of a run: nothing after it can be its end any more.
    is_closed: bool = False


class SpoolState(msgspec.Struct, array_like=True):
    """Which sequence numbers of a spool were applied: pairs (first, last), ascending, apart from each other."""

    ranges: list[int] = []
    pending: list[PendingRun] = []
    compactions: list[CompactionSign] = []


class WaitState(msgspec.Struct, array_like=True):
    """Runs that named a parent harness span which no run has claimed yet."""

    run_ids: list[str] = []
    # Full pages, each under a key of its own.
    num_pages_before: int = 0


class AgentState(msgspec.Struct, array_like=True):
    """What ticks need to know of an agent; instants are the server's."""

    num_watched: int = 0
    # Not before this instant can a watched run have been silent for too long; 0 when none is watched.
    next_due_us: int = 0
    active_until_us: int = 0
    last_tick_us: int = 0


class WatchPage(msgspec.Struct, array_like=True):
    """Ids of some of the runs that are watched."""

    run_ids: list[str] = []


class LinkState(msgspec.Struct, array_like=True):
    """The run that a harness span belongs to."""

    run_id: str = ""


def is_compaction(run_id: str) -> bool:
    """Whether OpenClaw started the run to compact a session."""
    return ":compaction:" in run_id
