"""Halts and releases an agent, or one of its runs, by hand.

Upstream: ``clawtrace halt``, ``clawtrace release``; the API, through ``stream_jobs.admin``.
Downstream: the guard topic, and a row in the audit.
Guarantee: who did it is written down before it is sent; when Postgres is away it is sent all the same, since somebody
wants an agent to stop, and the command says so. Every halt has an end, before the guard topic forgets it.
"""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Engine

from infra.runtime.access_keys import AGENT_ID, TENANT_ID, list_keys
from infra.runtime.database import DatabaseAway
from infra.runtime.guard_audit import GuardOrder, note_order, who_is_there
from infra.runtime.topics import DAY_MS
from producers.contracts.event import record_key
from producers.contracts.guard import GuardAction, GuardMessage, Verdict
from producers.contracts.topics import GUARD
from stream_jobs.contracts.budget import InvalidBudget
from stream_jobs.outbox import OutboxRow
from stream_jobs.outbox_sender import Sender
from stream_jobs.settings import BudgetsSettings

MAX_HOURS: Final = GUARD.retention_ms * 24 / DAY_MS
# A release acts when it is read; it need only outlive guards that are away for a while.
RELEASE_HOURS: Final = 24.0


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that the broker has."""

    message: GuardMessage
    verdict: Verdict
    who: str
    not_written_down: str

    def as_json(self) -> str:
        """The message, as one JSON document."""
        return msgspec.json.encode(self.message).decode()

    def as_sentence(self) -> str:
        """What was sent, for people."""
        verdict, message = self.verdict, self.message
        what = "released" if verdict.action == "release" else "halted"
        until = datetime.fromtimestamp(verdict.expires_at_us / 1e6, UTC).isoformat(timespec="seconds")
        end = "" if verdict.action == "release" else f" until {until} or a release"
        return f"{what} {message.agent_id} of {message.tenant_id}{end}, by {self.who} ({verdict.verdict_id})"


def order_agent(
    settings: BudgetsSettings,
    engine: Engine,
    agent_id: str,
    *,
    tenant_id: str | None,
    action: GuardAction,
    reason: str,
    hours: float,
    run_id: str | None = None,
    who: str | None = None,
) -> SentOrder:
    """Tell an agent to stand still, or to go on.

    Args:
        hours: when it lapses by itself.
        run_id: only this run; without, the whole agent.
        who: who says so; without, the person at the keyboard.

    Raises:
        InvalidBudget: the agent cannot be, or is not known, or several tenants have one of this name.
        DatabaseAway: the tenant is not named and cannot be looked up.
        KafkaAway: the broker has not taken it.
    """
    if not AGENT_ID.fullmatch(agent_id):
        raise InvalidBudget(f"agent {agent_id!r}: use the name that its key was made with")
    tenant = tenant_id or _tenant_of(engine, agent_id)
    if not TENANT_ID.fullmatch(tenant):
        raise InvalidBudget(f"tenant {tenant!r}: use 6 to 32 small letters and digits")
    now_us = time.time_ns() // 1000
    verdict = Verdict(
        verdict_id=f"by-hand-{uuid.uuid4().hex[:12]}",
        scope="agent" if run_id is None else "run",
        scope_id=agent_id if run_id is None else run_id,
        action=action,
        reason=reason,
        expires_at_us=now_us + int(min(hours, MAX_HOURS) * 3_600_000_000),
    )
    who = who or who_is_there()
    order = GuardOrder(who, tenant, agent_id, action, verdict.scope, verdict.scope_id, reason, verdict.verdict_id)
    not_written_down = ""
    try:
        note_order(engine, order)
    except DatabaseAway as error:
        not_written_down = str(error)
    # No source record led to it; the instant is as good a number that grows.
    message = GuardMessage(tenant_id=tenant, agent_id=agent_id, rev=now_us, issued_at_us=now_us, body=verdict)
    sender = Sender(settings.kafka_bootstrap, settings.topic_prefix)
    sender.send([OutboxRow(GUARD.name, record_key(tenant, agent_id), msgspec.json.encode(message))])
    return SentOrder(message, verdict, who, not_written_down)


def _tenant_of(engine: Engine, agent_id: str) -> str:
    keys = [key for key in list_keys(engine) if key.revoked_at is None]
    tenants = sorted({key.principal.tenant_id for key in keys if key.principal.agent_id == agent_id})
    if len(tenants) == 1:
        return tenants[0]
    if tenants:
        raise InvalidBudget(f"several tenants have an agent {agent_id}: name one with --tenant ({', '.join(tenants)})")
    raise InvalidBudget(f"no key names an agent {agent_id}; clawtrace keys list shows them, or name its --tenant")
