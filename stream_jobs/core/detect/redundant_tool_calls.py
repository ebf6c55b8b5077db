"""Rule ``redundant_tool_calls``: nearly the same asked again and again, of one tool, by a run or its sub-agents.

Upstream: tool calls as they begin or, without a beginning, end.
Downstream: the mark ``redundant`` on tool calls; counts for the TraceCard; alerts.
Guarantee: marked are the calls that another one of the same tool in the trace is at least ``min_percent`` similar to.
The alert wants more, since reading thirty files of a folder is similar too: only calls count whose answer had just
been given, without a failure, and without waiting or writing in between; it fires once a trace. Memory: ``max_texts``
different texts a tool and trace; more are counted as forgotten.
"""

from typing import Annotated, ClassVar, cast

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import ToolView, asked_of, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.redundancy.normalise import digest_of, units_of
from stream_jobs.core.redundancy.similar import SimilarTexts
from stream_jobs.core.state import NO_SEQ, ToolState
from stream_jobs.core.workspace import Workspace

MARK = "redundant"

_MAX_TOOLS = 64
_MAX_RECENT = 64
_MAX_ANSWERS = 256
_MAX_NAMED = 4


class RedundantToolCallsSettings(RuleSettings):
    """How similar is nearly the same, and how much of it is too much."""

    min_percent: Annotated[int, Field(ge=50, le=100, description="Similarity of two calls, in percent.")] = 80
    max_texts: Annotated[
        int, Field(gt=0, le=10_000, description="Different calls that are remembered of each tool in a trace.")
    ] = 2_000
    max_calls: Annotated[
        int, Field(gt=1, description="Redundant calls of a trace whose answers were known: so many are too many.")
    ] = 20
    min_share_percent: Annotated[
        int, Field(ge=0, le=100, description="And at least this share of the trace's tool calls.")
    ] = 50
    pause_s: Annotated[int, Field(gt=0, description="After so many seconds, asking again is sensible.")] = 60


class KnownAnswer(msgspec.Struct, array_like=True):
    """An answer, when it was last given, and what its run had done by then."""

    answered: str
    run: str
    at_us: int
    num_waits: int
    num_new_writes: int


class RedundantTool(msgspec.Struct, array_like=True):
    """Counts of one tool in a trace, and a few of its redundant calls."""

    num_redundant: int = 0
    num_known: int = 0
    span_ids: list[str] = []
    answers: list[KnownAnswer] = []


class RedundantCalls(msgspec.Struct, array_like=True):
    """What the rule remembers of a trace."""

    num_calls: int = 0
    num_redundant: int = 0
    num_known: int = 0
    tools: dict[str, RedundantTool] = {}
    recent: list[str] = []
    is_alert: bool = False


def memory_name_of(scope: str) -> str:
    """Name of what is remembered of a trace."""
    return f"redundant_tool_calls|{scope}"


class RedundantToolCalls:
    """Near-duplicates."""

    name: ClassVar[AlertRule] = "redundant_tool_calls"
    settings_type: ClassVar[type[RuleSettings]] = RedundantToolCallsSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_started", "tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Compare what was asked once, and look at the answer when there is one."""
        settings = ws.settings(self.name, RedundantToolCallsSettings)
        tool = ws.find_node(fact.ref)
        if not settings.enabled or not isinstance(tool, ToolState):
            return
        is_first = tool.ended_seq == NO_SEQ if fact.kind == "tool_started" else tool.started_seq == NO_SEQ
        if is_first:
            _compare(ws, settings, tool)
        view = view_of(ws, fact) if fact.kind == "tool_ended" else None
        if view is not None:
            self._look_at_answer(ws, settings, fact, view)

    def _look_at_answer(self, ws: Workspace, settings: RedundantToolCallsSettings, fact: Fact, view: ToolView) -> None:
        tool = view.tool
        scope = _scope_of(tool)
        memory = ws.memory(memory_name_of(scope), RedundantCalls)
        counts = memory.tools.get(tool.tool_name)
        if counts is None:
            return
        known = next((it for it in counts.answers if it.answered == view.answered), None)
        own = digest_of(view.run.run_id)[:16]
        answer = KnownAnswer(view.answered, own, fact.at_us, view.num_waits, view.num_new_writes)
        counts.answers = [*(it for it in counts.answers if it is not known), answer][-_MAX_ANSWERS:]
        ws.change_memory(memory_name_of(scope))
        if known is None or MARK not in tool.flags or view.is_wait or view.is_failed or view.is_answering:
            return
        # To ask again after waiting, or after writing something, is sensible.
        pause_us = tool.started_at_us - known.at_us
        has_acted = (known.num_waits, known.num_new_writes) != (view.num_waits, view.num_new_writes)
        if pause_us >= settings.pause_s * 1_000_000 or (known.run == own and has_acted):
            return
        counts.num_known += 1
        memory.num_known += 1
        is_much = 100 * memory.num_known >= settings.min_share_percent * memory.num_calls
        if memory.is_alert or memory.num_known < settings.max_calls or not is_much:
            return
        memory.is_alert = True
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            state="alert",
            message=f"{memory.num_known} of {memory.num_calls} tool calls asked nearly the same as an earlier one and "
            "were answered the same.",
            at_us=fact.at_us,
            evidence={
                "num_known_answers": memory.num_known,
                "num_redundant": memory.num_redundant,
                "num_tool_calls": memory.num_calls,
                "limit": settings.max_calls,
                "min_percent": settings.min_percent,
            },
        )


def _compare(ws: Workspace, settings: RedundantToolCallsSettings, tool: ToolState) -> None:
    scope = _scope_of(tool)
    memory_name = memory_name_of(scope)
    memory = ws.memory(memory_name, RedundantCalls)
    own = digest_of(tool.ref)[:16]
    if own in memory.recent:
        return
    ws.change_memory(memory_name)
    memory.recent = [*memory.recent, own][-_MAX_RECENT:]
    memory.num_calls += 1
    text = units_of(asked_of(ws, tool))
    counts = memory.tools.get(tool.tool_name)
    if counts is None:
        if len(memory.tools) >= _MAX_TOOLS:
            return
        counts = memory.tools[tool.tool_name] = RedundantTool()
    if not text:
        return
    finding = _texts_of(ws, settings, f"{memory_name}|{tool.tool_name}").add(text, tool.ref)
    if finding.is_forgotten:
        ws.counts["forgotten_tool_texts"] += 1
    found = [ws.find_node(ref) for ref in finding.newly_redundant]
    for node in [*found, tool if finding.is_redundant else None]:
        if isinstance(node, ToolState) and MARK not in node.flags:
            node.flags = [*node.flags, MARK]
            ws.touch(node)
            counts.num_redundant += 1
            memory.num_redundant += 1
            if len(counts.span_ids) < _MAX_NAMED:
                counts.span_ids = [*counts.span_ids, node.span_id]


def _texts_of(ws: Workspace, settings: RedundantToolCallsSettings, scope: str) -> SimilarTexts:
    # Read once a batch; the values they are made of belong to the workspace.
    scopes = cast(dict[str, SimilarTexts], ws.shared.setdefault(__name__, {}))
    if scope not in scopes:
        scopes[scope] = SimilarTexts(ws, scope, min_percent=settings.min_percent, max_texts=settings.max_texts)
    return scopes[scope]


def _scope_of(tool: ToolState) -> str:
    return tool.trace_id or tool.run_id
