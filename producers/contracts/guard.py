"""What the stream tells an agent: how much it may still spend, and what it must do.

Upstream: ``stream_jobs`` decides; producers own the contract because the gateway and the plugin read it.
Downstream: the gateway's ``/v1/guard`` and the plugin's guard.
Guarantee: every message names its scope and its end, so a lost one can never halt an agent for ever.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

GuardScope = Literal["run", "session", "agent", "tenant"]
GuardAction = Literal["note", "block", "ask", "abort", "release"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="verdict", tag_field="type"):
    """What an agent must do now."""

    verdict_id: Annotated[str, Meta(description="Deterministic id from rule, scope and source record.")]
    scope: Annotated[GuardScope, Meta(description="What the verdict covers.")]
    scope_id: Annotated[str, Meta(description="Run id, session key, agent id or tenant id.")]
    action: Annotated[GuardAction, Meta(description="note, block, ask, abort; release ends an earlier verdict.")]
    reason: Annotated[str, Meta(description="Plain sentence that the user may be shown.")]
    alert_id: Annotated[str | None, Meta(description="The alert that led to it.")] = None
    expires_at_us: Annotated[int, Meta(description="When it lapses by itself (UTC, microseconds).")]


class Allowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="allowance", tag_field="type"):
    """How much an agent may spend before it must ask again."""

    allowance_id: Annotated[str, Meta(description="Deterministic id from budget, window and number.")]
    scope: Annotated[GuardScope, Meta(description="What the allowance covers.")]
    scope_id: Annotated[str, Meta(description="Run id, session key, agent id or tenant id.")]
    granted_usd: Annotated[Decimal, Meta(description="Dollars that may be spent under it.")]
    window: Annotated[Literal["run", "1h", "5h", "day", "month"], Meta(description="Window of the budget.")]
    expires_at_us: Annotated[int, Meta(description="When what is unspent lapses (UTC, microseconds).")]


class GuardMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ``clawtrace.guard.v1``, for one agent."""

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = 1
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install it is for.")]
    rev: Annotated[int, Meta(description="Offset of the source record that led to it; newest wins.")]
    issued_at_us: Annotated[int, Meta(description="When it was decided (UTC, microseconds).")]
    body: Annotated[Verdict | Allowance, Meta(description="The verdict or the allowance.")]


_decoder = msgspec.json.Decoder(GuardMessage)


def decode_guard_message(value: bytes) -> GuardMessage:
    """Decode the value of a record of ``clawtrace.guard.v1``.

    Raises:
        msgspec.DecodeError: not JSON, or (as ValidationError) not of this contract; the text names the field.
    """
    return _decoder.decode(value)
