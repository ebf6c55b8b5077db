"""Rule ``error_cascade``: whatever tool a run turns to, it fails.

Upstream: calls that have ended.
Downstream: alerts.
Guarantee: counts failures in a row, of several tools; one success ends it. Memory: a count and names a run.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

_MAX_NAMES = 16


class ErrorCascadeSettings(RuleSettings):
    """How many failures are too many."""

    max_errors: Annotated[int, Field(gt=1, description="Tool calls of a run that failed in a row.")] = 8
    min_tools: Annotated[int, Field(gt=0, le=16, description="Different tools among them.")] = 2


class _Errors(msgspec.Struct, array_like=True):
    num_errors: int = 0
    tool_names: list[str] = []
    is_alert: bool = False


class ErrorCascade:
    """Errors over tools."""

    name: ClassVar[AlertRule] = "error_cascade"
    settings_type: ClassVar[type[RuleSettings]] = ErrorCascadeSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count failures in a row."""
        settings = ws.settings(self.name, ErrorCascadeSettings)
        view = view_of(ws, fact) if settings.enabled else None
        if view is None:
            return
        memory_name = f"{self.name}|{view.run.run_id}"
        memory = ws.memory(memory_name, _Errors)
        if not view.is_failed and not memory.num_errors:
            return
        ws.change_memory(memory_name)
        if view.is_failed:
            memory.num_errors += 1
            if view.tool.tool_name not in memory.tool_names:
                memory.tool_names = sorted([*memory.tool_names, view.tool.tool_name])[:_MAX_NAMES]
        else:
            memory.num_errors, memory.tool_names = 0, []
        is_alert = memory.num_errors >= settings.max_errors and len(memory.tool_names) >= settings.min_tools
        if is_alert == memory.is_alert:
            return
        memory.is_alert = is_alert
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            state="alert" if is_alert else "ok",
            message=f"{memory.num_errors} tool calls in a row have failed: {', '.join(memory.tool_names)}."
            if is_alert
            else "A tool call has worked again.",
            at_us=fact.at_us,
            evidence={
                "num_errors": memory.num_errors,
                "num_tools": len(memory.tool_names),
                "limit": settings.max_errors,
                "last_error": view.tool.error[:200],
            },
        )
