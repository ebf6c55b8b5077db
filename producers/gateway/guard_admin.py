"""What a person does to guards from the command line: change a policy, look at policies, send a verdict.

Upstream: ``clawtrace guard``.
Downstream: Postgres, the guard topic.
Guarantee: what was not named stays as it was; what cannot be is refused with the reason before anything is written.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from sqlalchemy import Engine

from infra.runtime.database import DatabaseAway, make_engine
from infra.runtime.guard_audit import GuardOrder, note_order, who_is_there
from producers.contracts.guard import (
    GuardAction,
    GuardMessage,
    GuardPosture,
    GuardScope,
    InvalidPolicy,
    LimitAction,
    Verdict,
)
from producers.gateway.guard_feed import send_guard_message
from producers.gateway.guard_policies import StoredPolicy, change_policy, check_agent
from producers.settings import GatewaySettings

NO_LIMIT: Final = "none"
_COLUMNS: Final = ("tenant", "agent", "run $", "session $", "day $", "action", "posture", "changed")


@dataclass(frozen=True, slots=True)
class SentVerdict:
    """A verdict that the broker has."""

    message: GuardMessage
    verdict: Verdict
    not_written_down: str = ""

    def as_json(self) -> str:
        """The message, as one JSON document."""
        return msgspec.json.encode(self.message).decode()

    def as_sentence(self) -> str:
        """What was sent, for people."""
        until = datetime.fromtimestamp(self.verdict.expires_at_us / 1e6, UTC).isoformat(timespec="seconds")
        verdict = self.verdict
        missing = f"\nnot written down: {self.not_written_down}" if self.not_written_down else ""
        what = f"{verdict.action} {verdict.scope} {verdict.scope_id}"
        return f"sent {verdict.verdict_id}: {what}, until {until}{missing}"


def change_by_text(
    engine: Engine,
    tenant_id: str,
    agent_id: str,
    *,
    limits: Mapping[str, str | None],
    action: LimitAction | None,
    posture: GuardPosture | None,
) -> StoredPolicy:
    """Change what is named of an agent's policy; None leaves a part as it is, ``none`` takes a limit away.

    Raises:
        InvalidPolicy: an amount, the tenant or the agent cannot be.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    changes: dict[str, Any] = {name: _amount(name, text) for name, text in limits.items() if text is not None}
    changes |= {name: value for name, value in (("action", action), ("posture", posture)) if value is not None}
    return change_policy(engine, tenant_id, agent_id, changes)


def say_policies(policies: Sequence[StoredPolicy], *, as_json: bool) -> str:
    """Write policies as one JSON document, or as a table for people."""
    if as_json:
        return json.dumps(
            [
                {
                    "tenant_id": it.tenant_id,
                    "agent_id": it.agent_id,
                    **msgspec.to_builtins(it.policy),
                    "updated_at": it.updated_at.isoformat(timespec="milliseconds"),
                }
                for it in policies
            ]
        )
    if not policies:
        return "no agent has a policy; clawtrace guard set makes one"
    rows = [_COLUMNS, *(_row(it) for it in policies)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def send_verdict(
    settings: GatewaySettings,
    tenant_id: str,
    agent_id: str,
    *,
    action: GuardAction,
    scope: GuardScope,
    scope_id: str,
    reason: str,
    minutes: float,
) -> SentVerdict:
    """Write a verdict to the guard topic; return when the broker has it.

    Who did it is written down first; when Postgres is away it is sent all the same.

    Raises:
        InvalidPolicy: the tenant or the agent cannot be, or a run or session is not named.
        KafkaAway: the broker has not taken it.
    """
    check_agent(tenant_id, agent_id)
    whole = {"agent": agent_id, "tenant": tenant_id}
    if not scope_id and scope not in whole:
        raise InvalidPolicy(f"a verdict about a {scope} must say which: --id")
    now_us = time.time_ns() // 1000
    verdict = Verdict(
        verdict_id=f"by-hand-{uuid.uuid4().hex[:12]}",
        scope=scope,
        scope_id=scope_id or whole[scope],
        action=action,
        reason=reason,
        expires_at_us=now_us + int(minutes * 60_000_000),
    )
    order = GuardOrder(who_is_there(), tenant_id, agent_id, action, scope, verdict.scope_id, reason, verdict.verdict_id)
    not_written_down = ""
    try:
        note_order(make_engine(settings, pool_size=1), order)
    except DatabaseAway as error:
        not_written_down = str(error)
    # No source record led to it; the instant is as good a number that grows.
    message = GuardMessage(tenant_id=tenant_id, agent_id=agent_id, rev=now_us, issued_at_us=now_us, body=verdict)
    send_guard_message(settings.kafka_bootstrap, settings.gateway_guard_topic, message)
    return SentVerdict(message, verdict, not_written_down)


def _amount(name: str, text: str) -> Decimal | None:
    if text.strip().lower() == NO_LIMIT:
        return None
    try:
        return Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise InvalidPolicy(f"{name} {text!r}: use an amount of dollars, for instance 0.05, or {NO_LIMIT}") from None


def _row(stored: StoredPolicy) -> tuple[str, ...]:
    policy = stored.policy
    limits = (policy.run_limit_usd, policy.session_limit_usd, policy.agent_day_limit_usd)
    shown = ("-" if it is None else f"{it.normalize():f}" for it in limits)
    changed = stored.updated_at.isoformat(timespec="seconds")
    return (stored.tenant_id, stored.agent_id, *shown, policy.action, policy.posture, changed)
