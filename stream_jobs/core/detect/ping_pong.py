"""Rule ``ping_pong``: calls that only take turns, or two sessions that only write to each other.

Upstream: calls that have ended.
Downstream: alerts about a run (calls) or a session (messages).
Guarantee: turns count only with the same answers, without waiting and without anything new written in between;
messages count only while both sides have sent as many within the window. Memory: the last calls of a run, the last
messages of a pair.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import ToolView, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

_SENDING_TOOLS = frozenset({"sessions_send", "conversations_send", "conversations_turn", "sessions_spawn"})
_TARGETS = ("sessionKey", "session_key", "targetSessionKey", "childSessionKey", "conversationId", "target")


class PingPongSettings(RuleSettings):
    """How many turns are too many."""

    max_rounds: Annotated[
        int, Field(gt=2, le=50, description="So many rounds of the same calls with the same answers.")
    ] = 6
    max_period: Annotated[int, Field(ge=2, le=8, description="Calls in a round, at most.")] = 3
    max_messages: Annotated[
        int, Field(gt=1, le=500, description="Messages that each of two sessions may send the other within the window.")
    ] = 12
    window_s: Annotated[int, Field(gt=0, description="That window, in seconds.")] = 3_600


class _Turn(msgspec.Struct, array_like=True):
    asked: str
    answered: str
    num_waits: int
    tool_name: str


class _Turns(msgspec.Struct, array_like=True):
    turns: list[_Turn] = []
    num_new_writes: int = 0
    is_alert: bool = False


class _Pair(msgspec.Struct, array_like=True):
    """When each of two sessions, in the order of their keys, wrote to the other."""

    first_at_us: list[int] = []
    second_at_us: list[int] = []


class PingPong:
    """Turns without progress."""

    name: ClassVar[AlertRule] = "ping_pong"
    settings_type: ClassVar[type[RuleSettings]] = PingPongSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Look whether the last calls are rounds, and count messages between sessions."""
        settings = ws.settings(self.name, PingPongSettings)
        view = view_of(ws, fact) if settings.enabled else None
        if view is None:
            return
        self._look_at_turns(ws, settings, fact, view)
        if view.tool.tool_name in _SENDING_TOOLS and not view.is_failed:
            self._look_at_messages(ws, settings, fact, view)

    def _look_at_turns(self, ws: Workspace, settings: PingPongSettings, fact: Fact, view: ToolView) -> None:
        if view.is_wait:
            return
        memory_name = f"{self.name}|{view.run.run_id}"
        memory = ws.memory(memory_name, _Turns)
        if memory.num_new_writes != view.num_new_writes:
            memory.turns, memory.num_new_writes = [], view.num_new_writes
        turn = _Turn(view.asked, view.answered, view.num_waits, view.tool.tool_name)
        memory.turns = [*memory.turns, turn][-settings.max_rounds * settings.max_period :]
        ws.change_memory(memory_name)
        period = _period_of(memory.turns, settings)
        if memory.is_alert == bool(period):
            return
        memory.is_alert = bool(period)
        tools = sorted({it.tool_name for it in memory.turns[-period:]}) if period else []
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            state="alert" if period else "ok",
            message=f"{period} calls ({', '.join(tools)}) took turns {settings.max_rounds} times with the same results."
            if period
            else "The calls no longer take turns.",
            at_us=fact.at_us,
            evidence={"num_calls": period * settings.max_rounds, "period": period, "limit_rounds": settings.max_rounds},
        )

    def _look_at_messages(self, ws: Workspace, settings: PingPongSettings, fact: Fact, view: ToolView) -> None:
        source, target = view.run.session_key, _target_of(view)
        if not source or not target or source == target:
            return
        first, second = sorted((source, target))
        memory_name = f"{self.name}|{first}|{second}"
        pair = ws.memory(memory_name, _Pair)
        if source == first:
            pair.first_at_us = [*pair.first_at_us, fact.at_us][-settings.max_messages :]
        else:
            pair.second_at_us = [*pair.second_at_us, fact.at_us][-settings.max_messages :]
        ws.change_memory(memory_name)
        since_us = fact.at_us - settings.window_s * 1_000_000
        sent = [sum(at_us >= since_us for at_us in side) for side in (pair.first_at_us, pair.second_at_us)]
        is_alert = min(sent) >= settings.max_messages
        set_alert(
            ws,
            settings,
            self.name,
            scope="session",
            scope_id=first,
            about=second,
            state="alert" if is_alert else "ok",
            message=f"Two sessions have each written to the other {min(sent)} times within {settings.window_s} s."
            if is_alert
            else "The two sessions write less to each other.",
            at_us=fact.at_us,
            labels={"session_key": source, "other_session_key": target, "run_id": view.run.run_id},
            evidence={"num_messages": sum(sent), "limit_each": settings.max_messages, "window_s": settings.window_s},
            trace_id=view.run.trace_id,
            span_id=view.tool.span_id,
        )


def _period_of(turns: list[_Turn], settings: PingPongSettings) -> int:
    """Return how many calls make a round, 0 when the last calls are no rounds."""
    marks = [(it.asked, it.answered) for it in turns]
    for period in range(2, settings.max_period + 1):
        length = period * settings.max_rounds
        part = marks[-length:]
        if len(part) < length or len(set(part)) != period:
            continue
        waits = turns[-1].num_waits - turns[-length].num_waits
        if waits < settings.max_rounds - 1 and all(part[n] == part[n - period] for n in range(period, length)):
            return period
    return 0


def _target_of(view: ToolView) -> str:
    for name in _TARGETS:
        value = view.params.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
