"""Rule ``subagent_death``: a sub-agent ended without doing what it was started for.

Upstream: facts ``event``, ``subagent_died``, ``run_ended``, ``run_reopened``, ``tick``.
Downstream: alerts.
Guarantee: one alert for each child run. An attempt that failed and is tried again is no death: without OpenClaw's
final word on the run the rule waits for ``grace_s``. A run that was stopped on request is none either. Ok again when
the run goes on after all.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertState
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.rule import heard_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import RunState
from stream_jobs.core.workspace import Workspace

MAX_WAITING = 64
_SECOND_US = 1_000_000


class SubagentDeathSettings(RuleSettings):
    """When a sub-agent counts as dead."""

    grace_s: Annotated[
        int, Field(ge=0, description="Seconds a failed sub-agent is waited for when OpenClaw has not settled its end.")
    ] = 120


class Waiting(msgspec.Struct, array_like=True):
    """Failed child runs whose end is not settled, and when they were heard of; those with a raised alert."""

    since: dict[str, int] = {}
    raised: list[str] = []


class SubagentDeath:
    """A sub-agent ended without a result."""

    name: ClassVar[AlertRule] = "subagent_death"
    settings_type: ClassVar[type[RuleSettings]] = SubagentDeathSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"event", "subagent_died", "run_ended", "run_reopened", "tick"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """See how a child's run ended, and whether that was the end."""
        # An event may be the final word on a run that had ended before.
        if fact.kind == "event" and fact.ref != "agent_event":
            return
        settings = ws.settings(self.name, SubagentDeathSettings)
        if not settings.enabled:
            return
        memory = ws.memory(self.name, Waiting)
        if fact.kind in ("tick", "event"):
            self._judge_waiting(ws, settings, memory, fact)
            return
        run = ws.find_node(fact.ref)
        if not isinstance(run, RunState):
            return
        if fact.kind == "subagent_died":
            self._raise(ws, settings, memory, run, fact)
        elif _is_subagent(run):
            self._hear(ws, settings, memory, run, fact)

    def _judge_waiting(self, ws: Workspace, settings: SubagentDeathSettings, memory: Waiting, fact: Fact) -> None:
        for run_id, since_us in list(memory.since.items()):
            run = ws.find_run(run_id)
            is_over = fact.kind == "tick" and fact.at_us - since_us >= settings.grace_s * _SECOND_US
            if run is not None and run.status == "error" and (is_over or run.verdict_seq > run.open_seq):
                self._raise(ws, settings, memory, run, fact)

    def _hear(self, ws: Workspace, settings: SubagentDeathSettings, memory: Waiting, run: RunState, fact: Fact) -> None:
        if run.status != "error" or _was_stopped(run):
            if run.run_id in memory.since:
                del memory.since[run.run_id]
                ws.change_memory(self.name)
            if run.run_id in memory.raised and run.status in ("running", "ok"):
                memory.raised = [it for it in memory.raised if it != run.run_id]
                ws.change_memory(self.name)
                self._say(ws, settings, run, fact, "ok", "The sub-agent goes on after all.")
        elif run.verdict_seq > run.open_seq:
            self._raise(ws, settings, memory, run, fact)
        elif run.run_id not in memory.raised:
            memory.since[run.run_id] = heard_at_us(ws, fact)
            if len(memory.since) > MAX_WAITING:
                del memory.since[next(iter(memory.since))]
            ws.change_memory(self.name)

    def _raise(
        self, ws: Workspace, settings: SubagentDeathSettings, memory: Waiting, run: RunState, fact: Fact
    ) -> None:
        memory.since.pop(run.run_id, None)
        memory.raised = [*(it for it in memory.raised if it != run.run_id), run.run_id][-MAX_WAITING:]
        ws.change_memory(self.name)
        why = run.error or "it left no word"
        self._say(ws, settings, run, fact, "alert", f"A sub-agent ended without a result: {why[:200]}.")

    def _say(
        self,
        ws: Workspace,
        settings: SubagentDeathSettings,
        run: RunState,
        fact: Fact,
        state: AlertState,
        message: str,
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
            labels={"run_id": run.run_id, "session_key": run.session_key, "requester_session": run.requester_session},
            evidence={
                "status": run.status,
                "error": run.error[:500],
                "cost_usd": f"{run.cost_usd:f}",
                "num_model_calls": run.num_calls,
                "lived_ms": max(0, (run.ended_at_us or fact.at_us) - run.started_at_us) // 1_000
                if run.started_at_us
                else 0,
            },
            trace_id=run.trace_id,
            span_id=run.span_id,
        )


def _is_subagent(run: RunState) -> bool:
    is_errand = run.run_id.startswith("announce:") or run.is_side_run
    return not is_errand and (":subagent:" in run.session_key or bool(run.spawn_ref or run.requester_session))


def _was_stopped(run: RunState) -> bool:
    return "aborted" in run.error.lower()
