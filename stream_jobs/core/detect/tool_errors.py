"""Rule ``tool_errors``: a tool of an agent keeps failing.

Upstream: facts ``tool_ended``.
Downstream: alerts.
Guarantee: one alert for each tool of an agent, over its last calls in whatever run; what a guard has blocked is no
error of the tool, and a command's exit code is none unless the settings say so.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertState
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import ToolState
from stream_jobs.core.workspace import Workspace

MAX_LAST_CALLS = 200


class ToolErrorsSettings(RuleSettings):
    """How many of the last calls may fail."""

    last_calls: Annotated[int, Field(ge=5, le=MAX_LAST_CALLS, description="Calls of a tool that are looked at.")] = 20
    min_calls: Annotated[int, Field(ge=3, description="Calls of a tool before the rule speaks of it.")] = 15
    max_share: Annotated[float, Field(gt=0, le=1, description="Share of failed calls at which it fires.")] = 0.6
    ok_share: Annotated[float, Field(ge=0, lt=1, description="Share at or below which all is well again.")] = 0.3
    count_exit_codes: Annotated[bool, Field(description="Whether an exit code other than 0 is a failure.")] = False


class Outcomes(msgspec.Struct, array_like=True):
    """The last calls of a tool: E for failed, o for the others, the newest last."""

    last: str = ""
    error: str = ""
    is_raised: bool = False


class ToolErrors:
    """A tool keeps failing."""

    name: ClassVar[AlertRule] = "tool_errors"
    settings_type: ClassVar[type[RuleSettings]] = ToolErrorsSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Add how a tool call ended."""
        settings = ws.settings(self.name, ToolErrorsSettings)
        tool = ws.find_node(fact.ref)
        if not settings.enabled or not isinstance(tool, ToolState) or not tool.tool_name or tool.status == "blocked":
            return
        name = f"{self.name}|{tool.tool_name}"
        memory = ws.memory(name, Outcomes)
        is_failed = tool.status == "error" or (settings.count_exit_codes and bool(tool.exit_code))
        memory.last = (memory.last + ("E" if is_failed else "o"))[-settings.last_calls :]
        if is_failed:
            memory.error = (tool.error or f"exit code {tool.exit_code}")[:200]
        ws.change_memory(name)
        num_failed, num_calls = memory.last.count("E"), len(memory.last)
        share = num_failed / num_calls
        state: AlertState
        if num_calls >= settings.min_calls and share >= settings.max_share:
            state = "alert"
        elif share <= settings.ok_share:
            state = "ok"
        else:
            return
        if memory.is_raised == (state == "alert"):
            return
        memory.is_raised = state == "alert"
        set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            about=tool.tool_name,
            state=state,
            message=f"{num_failed} of the last {num_calls} calls of the tool {tool.tool_name} have failed.",
            at_us=fact.at_us,
            labels={"tool_name": tool.tool_name, "run_id": tool.run_id, "session_key": tool.session_key},
            evidence={
                "num_failed": num_failed,
                "num_calls": num_calls,
                "share": f"{share:.2f}",
                "last_error": memory.error,
            },
            trace_id=tool.trace_id,
            span_id=tool.span_id,
        )
