"""Rule ``no_data``: an agent that is always heard of is silent.

Upstream: facts ``event``, ``tick``.
Downstream: alerts in state no_data.
Guarantee: silence is measured by the server's clock. Unless told otherwise the rule speaks only of agents that were
heard of in every one of many hours on end, which no laptop is; never after a gateway has said that it stops. Ok
again with the next event.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.rule import heard_at_us
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

_MINUTE_US = 60_000_000
_HOUR_US = 3_600_000_000
# What a gateway still sends while it stops.
_LAST_WORDS = frozenset({"gateway_stop", "session_end"})
# Events that the server writes itself.
_NOT_FROM_AGENT = frozenset({"reprice", "tick"})


class NoDataSettings(RuleSettings):
    """How long an agent may be silent."""

    no_data_minutes: Annotated[int, Field(ge=0, description="Minutes of silence at which it fires; 0 is never.")] = 90
    min_hours: Annotated[
        int, Field(ge=0, description="Hours on end in each of which the agent was heard of, before the rule speaks.")
    ] = 48


class LastHeard(msgspec.Struct, array_like=True):
    """When the agent was last heard of, and since which hour without a gap."""

    at_us: int = 0
    since_hour: int = -1
    num_events: int = 0
    is_stopped: bool = False
    is_raised: bool = False


class NoData:
    """An agent is silent that never was."""

    name: ClassVar[AlertRule] = "no_data"
    settings_type: ClassVar[type[RuleSettings]] = NoDataSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"event", "tick"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Hear of the agent, or see for how long nobody has."""
        settings = ws.settings(self.name, NoDataSettings)
        if not settings.enabled or not settings.no_data_minutes:
            return
        if fact.ref in _NOT_FROM_AGENT:
            return
        heard = ws.memory(self.name, LastHeard)
        at_us = heard_at_us(ws, fact)
        if fact.kind == "event":
            # All events of a batch were heard of at one instant.
            if at_us != heard.at_us or heard.since_hour < 0:
                hour = at_us // _HOUR_US
                if heard.since_hour < 0 or hour > heard.at_us // _HOUR_US + 1:
                    heard.since_hour, heard.num_events = hour, 0
                heard.at_us = max(heard.at_us, at_us)
            heard.num_events += 1
            heard.is_stopped = fact.ref == "gateway_stop" or (heard.is_stopped and fact.ref in _LAST_WORDS)
            ws.change_memory(self.name)
            if heard.is_raised:
                heard.is_raised = False
                self._say(ws, settings, fact, heard, 0)
            return
        num_hours = heard.at_us // _HOUR_US - heard.since_hour
        silent_us = at_us - heard.at_us
        is_expected = heard.since_hour >= 0 and num_hours >= settings.min_hours and not heard.is_stopped
        if is_expected and not heard.is_raised and silent_us >= settings.no_data_minutes * _MINUTE_US:
            heard.is_raised = True
            ws.change_memory(self.name)
            self._say(ws, settings, fact, heard, silent_us)

    def _say(self, ws: Workspace, settings: NoDataSettings, fact: Fact, heard: LastHeard, silent_us: int) -> None:
        set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            state="no_data" if heard.is_raised else "ok",
            message=f"Nothing has been heard of an agent for {silent_us // _MINUTE_US} minutes, and it has not said "
            "that it stops."
            if heard.is_raised
            else "The agent is heard of again.",
            at_us=fact.at_us,
            evidence={
                "silent_minutes": silent_us // _MINUTE_US,
                "limit_minutes": settings.no_data_minutes,
                "hours_on_end": heard.at_us // _HOUR_US - heard.since_hour,
                "num_events": heard.num_events,
            },
        )
