"""Rule ``tool_loop``: a run makes the same call again and again and learns nothing.

Upstream: calls that have ended; calls that only began, where a runtime tells no ends.
Downstream: alerts.
Guarantee: a call with another answer, or after something new was written, starts from one; waiting (a poll of a
process, a sleep, a pause between two calls) has a far higher limit. Memory: the 64 calls made last by a run.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import ToolView, asked_of, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.redundancy.normalise import digest_of
from stream_jobs.core.state import ToolState
from stream_jobs.core.workspace import Workspace

_MAX_CALLS = 64


class ToolLoopSettings(RuleSettings):
    """How often the same is too often."""

    severity: AlertSeverity = "critical"
    max_same_calls: Annotated[
        int, Field(gt=1, le=100, description="The same call with the same answer, so many times, is a loop.")
    ] = 10
    within_calls: Annotated[
        int, Field(gt=1, description="Counted over so many calls of the run, whatever lies between.")
    ] = 30
    max_same_waits: Annotated[
        int, Field(gt=1, description="The limit for waiting: polls, sleeps, calls with a pause or a wait between them.")
    ] = 200
    pause_s: Annotated[int, Field(gt=0, description="So many seconds between two equal calls are a pause.")] = 60
    max_unanswered: Annotated[
        int, Field(gt=1, description="The same call begun so many times, where no call of the run was ever answered.")
    ] = 20


class _Repeat(msgspec.Struct, array_like=True):
    """One call: how often it came with the same answer, and at which numbers of the run's calls."""

    asked: str
    answered: str = ""
    numbers: list[int] = []
    num_waits: int = 0
    waits_before: int = 0
    writes_before: int = 0
    first_at_us: int = 0
    last_at_us: int = 0
    is_alert: bool = False


class _Repeats(msgspec.Struct, array_like=True):
    calls: list[_Repeat] = []
    begun: str = ""
    num_begun: int = 0
    num_ended: int = 0


class ToolLoop:
    """The same call, the same answer."""

    name: ClassVar[AlertRule] = "tool_loop"
    settings_type: ClassVar[type[RuleSettings]] = ToolLoopSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_started", "tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count the call with those like it."""
        settings = ws.settings(self.name, ToolLoopSettings)
        if not settings.enabled:
            return
        if fact.kind == "tool_started":
            self._look_at_start(ws, settings, fact)
            return
        view = view_of(ws, fact)
        if view is None:
            return
        memory_name = f"{self.name}|{view.run.run_id}"
        memory = ws.memory(memory_name, _Repeats)
        memory.num_ended += 1
        repeat = _take(memory, view.asked)
        same = (
            repeat.answered == view.answered
            and repeat.writes_before == view.num_new_writes
            and view.number - (repeat.numbers[-1] if repeat.numbers else view.number) <= settings.within_calls
        )
        if not same:
            if repeat.is_alert:
                self._tell(ws, settings, fact, view, repeat, "ok")
            repeat.numbers, repeat.num_waits, repeat.first_at_us = [], 0, fact.at_us
            repeat.is_alert = False
        paused = same and view.tool.started_at_us - repeat.last_at_us >= settings.pause_s * 1_000_000
        waited = view.is_wait or paused or (same and view.num_waits > repeat.waits_before)
        if waited:
            repeat.num_waits += 1
        else:
            repeat.numbers = [*repeat.numbers, view.number][-settings.max_same_calls :]
        repeat.answered, repeat.last_at_us = view.answered, fact.at_us
        repeat.waits_before, repeat.writes_before = view.num_waits, view.num_new_writes
        ws.change_memory(memory_name)
        is_full = len(repeat.numbers) >= settings.max_same_calls
        is_dense = is_full and view.number - repeat.numbers[0] < settings.within_calls
        if not repeat.is_alert and (is_dense or repeat.num_waits + len(repeat.numbers) >= settings.max_same_waits):
            repeat.is_alert = True
            self._tell(ws, settings, fact, view, repeat, "alert")

    def _tell(
        self, ws: Workspace, settings: ToolLoopSettings, fact: Fact, view: ToolView, repeat: _Repeat, state: str
    ) -> None:
        count = len(repeat.numbers) + repeat.num_waits
        seconds = max(0, fact.at_us - repeat.first_at_us) // 1_000_000
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            about=repeat.asked,
            state="alert" if state == "alert" else "ok",
            message=f"{view.tool.tool_name} was called {count} times in the same way with the same result."
            if state == "alert"
            else f"{view.tool.tool_name} has given another result.",
            at_us=fact.at_us,
            evidence={
                "num_same_calls": count,
                "limit": settings.max_same_calls,
                "seconds": seconds,
                "asked": view.asked_text[:200],
            },
        )

    def _look_at_start(self, ws: Workspace, settings: ToolLoopSettings, fact: Fact) -> None:
        """Where no end is ever told, many equal beginnings must do."""
        tool = ws.find_node(fact.ref)
        if not isinstance(tool, ToolState):
            return
        memory_name = f"{self.name}|{tool.run_id}"
        memory = ws.memory(memory_name, _Repeats)
        if memory.num_ended:
            return
        asked = digest_of(tool.tool_name, asked_of(ws, tool))[:16]
        memory.num_begun = memory.num_begun + 1 if asked == memory.begun else 1
        memory.begun = asked
        ws.change_memory(memory_name)
        if memory.num_begun == settings.max_unanswered:
            set_alert(
                ws,
                settings,
                self.name,
                scope="run",
                scope_id=tool.run_id,
                about=asked,
                state="alert",
                message=f"{tool.tool_name} was called {memory.num_begun} times in the same way; no result was told.",
                at_us=fact.at_us,
                labels={"run_id": tool.run_id, "session_key": tool.session_key, "tool_name": tool.tool_name},
                evidence={"num_same_calls": memory.num_begun, "limit": settings.max_unanswered},
                trace_id=tool.trace_id,
                span_id=tool.span_id,
            )


def _take(memory: _Repeats, asked: str) -> _Repeat:
    """Return what is known of a call and make it the newest; the oldest goes."""
    found = next((it for it in memory.calls if it.asked == asked), None) or _Repeat(asked)
    memory.calls = [*(it for it in memory.calls if it is not found), found][-_MAX_CALLS:]
    return found
