"""Rule ``stuck_run``: a run is open and nothing has been heard of it for too long.

Upstream: facts of runs, model calls and tool calls; ``tick``.
Downstream: alerts.
Guarantee: silence is measured by the server's clock, from when it last heard of the run; a model call or tool call
in flight has a limit of its own and is named. At most 256 open runs are remembered; ok again when the run goes on or
has ended, or when the gateway was stopped.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertState
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.rule import heard_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState, RunState, ToolState
from stream_jobs.core.workspace import Workspace

MAX_OPEN = 256
MAX_IN_FLIGHT = 16
_MINUTE_US = 60_000_000
_Minutes = Annotated[int, Field(ge=1)]


class StuckRunSettings(RuleSettings):
    """How long a run may be silent."""

    stuck_minutes: Annotated[_Minutes, Field(description="Minutes of silence while nothing is in flight.")] = 10
    call_minutes: Annotated[_Minutes, Field(description="Minutes of silence while a model call is in flight.")] = 15
    tool_minutes: Annotated[_Minutes, Field(description="Minutes of silence while a tool is running.")] = 60


class OpenRun(msgspec.Struct, array_like=True):
    """When a run was last heard of, and what it waits for."""

    heard_at_us: int
    in_flight: list[str] = []
    is_raised: bool = False


class OpenRuns(msgspec.Struct, array_like=True):
    """Open runs by id, the longest known first."""

    runs: dict[str, OpenRun] = {}


class StuckRun:
    """A run is silent for too long."""

    name: ClassVar[AlertRule] = "stuck_run"
    settings_type: ClassVar[type[RuleSettings]] = StuckRunSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset(
        {
            "gateway_stopped",
            "run_started",
            "run_ended",
            "run_reopened",
            "call_started",
            "call_ended",
            "tool_started",
            "tool_ended",
            "tick",
        }
    )

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Note that a run goes on, or see which do not."""
        settings = ws.settings(self.name, StuckRunSettings)
        if not settings.enabled:
            return
        if fact.kind == "tick":
            self._judge_all(ws, settings, fact)
        elif fact.kind != "gateway_stopped":
            self._hear(ws, settings, fact)
        else:
            memory = ws.memory(self.name, OpenRuns)
            for run_id in list(memory.runs):
                self._let_go(ws, settings, memory, run_id, fact, "The gateway was stopped.")

    def _hear(self, ws: Workspace, settings: StuckRunSettings, fact: Fact) -> None:
        node = ws.find_node(fact.ref)
        run = ws.find_run(node.run_id) if isinstance(node, CallState | ToolState) else node
        if not isinstance(run, RunState):
            return
        memory = ws.memory(self.name, OpenRuns)
        if run.status == "incomplete":
            # Closed because nothing was heard of it: just that is what this rule tells of.
            return
        if run.status != "running":
            self._let_go(ws, settings, memory, run.run_id, fact, "The run has ended.")
            return
        found = memory.runs.get(run.run_id)
        if found is None:
            found = memory.runs[run.run_id] = OpenRun(0)
            if len(memory.runs) > MAX_OPEN:
                del memory.runs[next(iter(memory.runs))]
        found.heard_at_us = max(found.heard_at_us, heard_at_us(ws, fact))
        if fact.kind == "call_started":
            # The model is only asked when all tools it asked for have answered.
            found.in_flight = [fact.ref]
        elif fact.kind == "tool_started":
            found.in_flight = [*found.in_flight, fact.ref][-MAX_IN_FLIGHT:]
        elif fact.kind in ("call_ended", "tool_ended"):
            found.in_flight = [it for it in found.in_flight if it != fact.ref]
        if found.is_raised:
            found.is_raised = False
            self._say(ws, settings, run, fact, "ok", "The run goes on.")
        ws.change_memory(self.name)

    def _let_go(
        self, ws: Workspace, settings: StuckRunSettings, memory: OpenRuns, run_id: str, fact: Fact, message: str
    ) -> None:
        found = memory.runs.pop(run_id, None)
        if found is None:
            return
        ws.change_memory(self.name)
        run = ws.find_run(run_id)
        if found.is_raised and run is not None:
            self._say(ws, settings, run, fact, "ok", message)

    def _judge_all(self, ws: Workspace, settings: StuckRunSettings, fact: Fact) -> None:
        memory = ws.memory(self.name, OpenRuns)
        for run_id, found in memory.runs.items():
            run = ws.find_run(run_id)
            # A run without a trace may never have begun: a provider on cooldown, a turn that a plugin answered.
            if run is None or not run.trace_id or found.is_raised:
                continue
            waits_for = ws.find_node(found.in_flight[-1]) if found.in_flight else None
            minutes, about, span_id = settings.stuck_minutes, "", ""
            if isinstance(waits_for, ToolState):
                minutes, about, span_id = settings.tool_minutes, f"the tool {waits_for.tool_name}", waits_for.span_id
            elif isinstance(waits_for, CallState):
                about = f"a call of {waits_for.provider}/{waits_for.model}"
                minutes, span_id = settings.call_minutes, waits_for.span_id
            silent_us = fact.at_us - found.heard_at_us
            if silent_us < minutes * _MINUTE_US:
                continue
            found.is_raised = True
            ws.change_memory(self.name)
            waiting = f", waiting for {about}" if about else ""
            message = f"An open run has been silent for {silent_us // _MINUTE_US} minutes{waiting}."
            evidence = {
                "silent_minutes": silent_us // _MINUTE_US,
                "limit_minutes": minutes,
                "waits_for": about,
                "cost_usd": f"{run.cost_usd:f}",
                "num_model_calls": run.num_calls,
            }
            self._say(ws, settings, run, fact, "alert", message, evidence, span_id)

    def _say(
        self,
        ws: Workspace,
        settings: StuckRunSettings,
        run: RunState,
        fact: Fact,
        state: AlertState,
        message: str,
        evidence: dict[str, object] | None = None,
        span_id: str = "",
    ) -> None:
        set_alert(
            ws,
            settings,
            self.name,
            scope="run",
            scope_id=run.run_id,
            state=state,
            message=message,
            at_us=fact.at_us,
            labels={"run_id": run.run_id, "session_key": run.session_key},
            evidence=evidence,
            trace_id=run.trace_id,
            span_id=span_id or run.span_id,
        )
