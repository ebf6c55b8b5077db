"""Whom to tell of what: the step from an alert that changed to what a channel is told.

Upstream: alerts as they change state; what a channel was told before.
Downstream: ``stream_jobs.notify.planner``.
Guarantee: a channel hears of a recovery when and only when it heard of the alert; who has heard of an alert hears how
it goes on, whatever its severity becomes.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_jobs.contracts.alert import Alert
from stream_jobs.contracts.channel import SEVERITY_RANK, ChannelFilters
from stream_jobs.core.notify.message import Told


class OpenAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that a channel was told of and that is not over."""

    alert: Annotated[Alert, Meta(description="As it was told last.")]
    started_at_us: Annotated[int, Meta(description="When it was first other than ok.")]


def next_step(filters: ChannelFilters, alert: Alert, opened: OpenAlert | None) -> tuple[Told | None, OpenAlert | None]:
    """Return what the channel is told (None: nothing), and what is open for it then (None: nothing).

    Args:
        opened: what was open before.
    """
    is_told = alert.state in filters.states
    if opened is None:
        if alert.state == "ok" or not is_told or not _is_wanted(filters, alert):
            return None, None
        opened = OpenAlert(alert=alert, started_at_us=alert.at_us)
        return Told(alert=alert, severity=alert.severity, started_at_us=alert.at_us), opened
    if alert.state == "ok":
        told = Told(alert=alert, severity=opened.alert.severity, started_at_us=opened.started_at_us)
        return (told if is_told else None), None
    if not is_told:
        return None, opened
    told = Told(alert=alert, severity=alert.severity, started_at_us=opened.started_at_us)
    return told, OpenAlert(alert=alert, started_at_us=opened.started_at_us)


def again(opened: OpenAlert) -> Told:
    """Return what a channel is told while an alert lasts."""
    return Told(
        alert=opened.alert, severity=opened.alert.severity, started_at_us=opened.started_at_us, told_as="repeat"
    )


def acknowledged(opened: OpenAlert, acked_by: str) -> Told:
    """Return what a channel is told when a person has seen to an alert."""
    return Told(
        alert=opened.alert,
        severity=opened.alert.severity,
        started_at_us=opened.started_at_us,
        told_as="ack",
        acked_by=acked_by,
    )


def group_key_of(alert: Alert, *, is_grouped: bool) -> str:
    """Return what alerts must have in common to be told in one message: their run, else their trace."""
    what = (alert.labels.get("run_id") or alert.trace_id or alert.alert_id) if is_grouped else alert.alert_id
    return f"{alert.agent_id}/{what}"


def _is_wanted(filters: ChannelFilters, alert: Alert) -> bool:
    return (
        SEVERITY_RANK[alert.severity] >= SEVERITY_RANK[filters.min_severity]
        and (not filters.rules or alert.rule in filters.rules)
        and (not filters.agents or alert.agent_id in filters.agents)
    )
