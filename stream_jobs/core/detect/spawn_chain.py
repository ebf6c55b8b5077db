"""Rule ``spawn_chain``: sub-agents that start sub-agents, too deep or too many.

Upstream: facts ``subagent_spawned``.
Downstream: alerts.
Guarantee: depth and root follow from who asked for whom, not from the tree, which may come later. Memory: one small
value a session that asked or was asked for.
"""

from typing import Annotated, ClassVar, Literal

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import RunState
from stream_jobs.core.workspace import Workspace


class SpawnChainSettings(RuleSettings):
    """How deep and how many."""

    severity: AlertSeverity = "critical"
    max_depth: Annotated[int, Field(gt=0, description="Sub-agents below one another, the first one counted 1.")] = 4
    max_children: Annotated[
        int, Field(gt=0, le=1_000, description="Sub-agents one session may start within the window.")
    ] = 20
    max_descendants: Annotated[
        int, Field(gt=0, le=1_000, description="Sub-agents below one first session within the window.")
    ] = 60
    window_s: Annotated[int, Field(gt=0, description="That window, in seconds.")] = 3_600


class _Spawns(msgspec.Struct, array_like=True):
    """One session: how deep it is, below whom, when sub-agents were started by it and below it."""

    depth: int = 0
    root: str = ""
    run_ids: list[str] = []
    children_at_us: list[int] = []
    descendants_at_us: list[int] = []


class SpawnChain:
    """Too many sub-agents."""

    name: ClassVar[AlertRule] = "spawn_chain"
    settings_type: ClassVar[type[RuleSettings]] = SpawnChainSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"subagent_spawned"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Place the sub-agent under who asked for it, and count."""
        settings = ws.settings(self.name, SpawnChainSettings)
        run = ws.find_node(fact.ref)
        if not settings.enabled or not isinstance(run, RunState) or not run.requester_session or not run.session_key:
            return
        parent = self._memory(ws, run.requester_session)
        child = self._memory(ws, run.session_key)
        if run.run_id in child.run_ids or run.session_key == run.requester_session:
            return
        child.run_ids = [*child.run_ids, run.run_id][-16:]
        child.depth, child.root = parent.depth + 1, parent.root or run.requester_session
        root = self._memory(ws, child.root)
        parent.children_at_us = [*parent.children_at_us, fact.at_us][-settings.max_children - 1 :]
        root.descendants_at_us = [*root.descendants_at_us, fact.at_us][-settings.max_descendants - 1 :]
        for session in (run.requester_session, run.session_key, child.root):
            ws.change_memory(f"{self.name}|{session}")
        since_us = fact.at_us - settings.window_s * 1_000_000
        counts: tuple[tuple[Literal["depth", "children", "descendants"], int, int, str], ...] = (
            ("depth", child.depth, settings.max_depth, run.requester_session),
            (
                "children",
                sum(it >= since_us for it in parent.children_at_us),
                settings.max_children,
                run.requester_session,
            ),
            ("descendants", sum(it >= since_us for it in root.descendants_at_us), settings.max_descendants, child.root),
        )
        for about, count, limit, session in counts:
            set_alert(
                ws,
                settings,
                self.name,
                scope="session",
                scope_id=session,
                about=about,
                state="alert" if count > limit else "ok",
                message=_message(about, count, settings.window_s) if count > limit else "Fewer sub-agents are started.",
                at_us=fact.at_us,
                labels={"session_key": session, "child_session_key": run.session_key, "root_session_key": child.root},
                evidence={about: count, "limit": limit, "window_s": settings.window_s},
                trace_id=run.trace_id,
                span_id=run.span_id,
            )

    def _memory(self, ws: Workspace, session_key: str) -> _Spawns:
        return ws.memory(f"{self.name}|{session_key}", _Spawns)


def _message(about: Literal["depth", "children", "descendants"], count: int, window_s: int) -> str:
    if about == "depth":
        return f"Sub-agents have started sub-agents, {count} below one another."
    whose = "One session has" if about == "children" else "The sub-agents of one session have together"
    return f"{whose} started {count} sub-agents within {window_s} s."
