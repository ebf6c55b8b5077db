"""Rule ``retry_storm``: a session goes on asking a provider that answers with errors.

Upstream: ends of model calls.
Downstream: alerts.
Guarantee: fires at failures in a row, or at their share of the last calls, so a success now and then hides nothing;
recovers after a few successes in a row. Memory: 32 outcomes a session.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule, AlertSeverity
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState
from stream_jobs.core.workspace import Workspace

_NUM_OUTCOMES = 32


class RetryStormSettings(RuleSettings):
    """How many failed calls are too many; one run's own retries are about ten."""

    severity: AlertSeverity = "critical"
    max_failures: Annotated[int, Field(gt=1, le=32, description="Model calls of a session that failed in a row.")] = 12
    max_failures_of_last_32: Annotated[
        int, Field(gt=1, le=32, description="Or failed among its last 32, with successes between them.")
    ] = 16
    num_successes: Annotated[int, Field(gt=0, le=32, description="Successes in a row after which it is over.")] = 3


class _Outcomes(msgspec.Struct, array_like=True):
    """The last outcomes, a bit each, the newest lowest, 1 is a failure; and the calls seen last."""

    bits: int = 0
    recent: list[str] = []
    first_failed_at_us: int = 0
    is_alert: bool = False


class RetryStorm:
    """Failing model calls without end."""

    name: ClassVar[AlertRule] = "retry_storm"
    settings_type: ClassVar[type[RuleSettings]] = RetryStormSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"call_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count failures of the session."""
        settings = ws.settings(self.name, RetryStormSettings)
        call = ws.find_node(fact.ref)
        if not settings.enabled or not isinstance(call, CallState) or not call.session_key:
            return
        memory_name = f"{self.name}|{call.session_key}"
        memory = ws.memory(memory_name, _Outcomes)
        if call.span_id in memory.recent or (not call.is_failed and not memory.bits):
            return
        memory.recent = [*memory.recent, call.span_id][-_NUM_OUTCOMES:]
        ws.change_memory(memory_name)
        if call.is_failed and not memory.bits:
            memory.first_failed_at_us = fact.at_us
        memory.bits = (memory.bits << 1 | call.is_failed) & (1 << _NUM_OUTCOMES) - 1
        in_row = _ones_at_end(memory.bits)
        failed = memory.bits.bit_count()
        is_over = _ones_at_end(~memory.bits & (1 << _NUM_OUTCOMES) - 1) >= settings.num_successes
        if is_over and (memory.is_alert or failed == 0):
            memory.bits = 0
        fires = in_row >= settings.max_failures or failed >= settings.max_failures_of_last_32
        is_alert = not is_over and (memory.is_alert or fires)
        if is_alert == memory.is_alert:
            return
        memory.is_alert = is_alert
        minutes = max(0, fact.at_us - memory.first_failed_at_us) // 60_000_000
        set_alert(
            ws,
            settings,
            self.name,
            scope="session",
            scope_id=call.session_key,
            state="alert" if is_alert else "ok",
            message=f"{failed} of the last {_NUM_OUTCOMES} model calls of a session have failed, {in_row} of them in a "
            f"row: {call.error[:80] or 'failed'}."
            if is_alert
            else "The model answers again.",
            at_us=fact.at_us,
            labels={
                "session_key": call.session_key,
                "run_id": call.run_id,
                "model": f"{call.provider}/{call.model}",
                "error": call.error[:200],
            },
            evidence={
                "num_failures_in_row": in_row,
                "num_failures_of_last_32": failed,
                "limit_in_row": settings.max_failures,
                "limit_of_last_32": settings.max_failures_of_last_32,
                "minutes": minutes,
            },
            trace_id=call.trace_id,
            span_id=call.span_id,
        )


def _ones_at_end(bits: int) -> int:
    return (~bits & bits + 1).bit_length() - 1
