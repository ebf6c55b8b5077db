"""Rule ``reread_file``: a run reads the same part of a file again, and it has not changed.

Upstream: calls that have ended.
Downstream: alerts.
Guarantee: another content, or a write to the file by the run, starts from one; another part of the file is another
reading. Memory: the 128 parts read last by a run.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import READ_TOOLS, WRITE_TOOLS, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.redundancy.normalise import digest_of
from stream_jobs.core.workspace import Workspace

_MAX_READINGS = 128


class RereadFileSettings(RuleSettings):
    """How often the same may be read."""

    severity: AlertSeverity = "info"
    max_reads: Annotated[int, Field(gt=1, description="Readings of the same unchanged part of a file.")] = 5


class _Reading(msgspec.Struct, array_like=True):
    asked: str
    path: str
    answered: str = ""
    num_reads: int = 0


class _Readings(msgspec.Struct, array_like=True):
    readings: list[_Reading] = []


class RereadFile:
    """The same file, read again."""

    name: ClassVar[AlertRule] = "reread_file"
    settings_type: ClassVar[type[RuleSettings]] = RereadFileSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count readings; a write to the file makes them forgotten."""
        settings = ws.settings(self.name, RereadFileSettings)
        view = view_of(ws, fact) if settings.enabled else None
        if view is None or not view.path or view.tool.tool_name not in READ_TOOLS | WRITE_TOOLS or view.is_failed:
            return
        memory_name = f"{self.name}|{view.run.run_id}"
        memory = ws.memory(memory_name, _Readings)
        ws.change_memory(memory_name)
        path = digest_of(view.path)[:16]
        if view.tool.tool_name in WRITE_TOOLS:
            memory.readings = [it for it in memory.readings if it.path != path]
            return
        found = next((it for it in memory.readings if it.asked == view.asked), None)
        reading = found or _Reading(view.asked, path)
        reading.num_reads = reading.num_reads + 1 if reading.answered == view.answered else 1
        reading.answered = view.answered
        memory.readings = [*(it for it in memory.readings if it is not found), reading][-_MAX_READINGS:]
        if reading.num_reads != settings.max_reads:
            return
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            about=view.asked,
            state="alert",
            message=f"A run has read the same unchanged file {reading.num_reads} times: {view.path[:200]}.",
            at_us=fact.at_us,
            labels={"path": view.path[:200]},
            evidence={"num_reads": reading.num_reads, "limit": settings.max_reads, "num_bytes": view.num_answer_bytes},
        )
