"""What an agent is told: how much it may spend, and what it must do.

Upstream: ``stream_jobs`` decides verdicts and allowances, people set policies; producers own the contract because the
gateway and the plugin read it.
Downstream: the gateway's ``/v1/guard`` and the plugin's guard.
Guarantee: every message names its scope and its end, so a lost one can never halt an agent for ever. A message about an
id that was told before replaces it; one that ends when it is issued takes it back, and nothing else.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

GuardScope = Literal["run", "session", "agent", "tenant"]
GuardAction = Literal["note", "block", "ask", "abort", "release"]
LimitAction = Literal["note", "block", "ask", "abort"]
GuardPosture = Literal["last", "open", "closed"]

GUARD_SCHEMA_VERSION = 1
# A micro-dollar; finer limits mean nothing and would not survive the database.
LIMIT_DECIMALS = 6
MAX_LIMIT_USD = Decimal(10**9)


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

    schema_version: Annotated[int, Meta(description="Major version of this contract.")] = GUARD_SCHEMA_VERSION
    tenant_id: Annotated[str, Meta(description="Who pays and sees.")]
    agent_id: Annotated[str, Meta(description="The OpenClaw install it is for.")]
    rev: Annotated[
        int,
        Meta(
            description="Of messages about one id the newest wins. Each writer counts for itself: the stitcher by the "
            "offset of the source record, the keeper of budgets by its transactions, people by the clock."
        ),
    ]
    issued_at_us: Annotated[int, Meta(description="When it was decided (UTC, microseconds).")]
    body: Annotated[Verdict | Allowance, Meta(description="The verdict or the allowance.")]


class GuardPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent may spend, and what happens when it has; without limits nothing happens."""

    posture: Annotated[
        GuardPosture,
        Meta(
            description="While the server is away: the last word holds, nothing is limited, or the agent stands still."
        ),
    ] = "last"
    action: Annotated[LimitAction, Meta(description="What happens at a limit.")] = "abort"
    run_limit_usd: Annotated[Decimal | None, Meta(description="For a run with all its sub-agents.")] = None
    session_limit_usd: Annotated[Decimal | None, Meta(description="For all runs of a session.")] = None
    agent_day_limit_usd: Annotated[Decimal | None, Meta(description="For the agent, per day (UTC).")] = None


class GuardPriceTier(msgspec.Struct, frozen=True, kw_only=True):
    """What all tokens of a call cost when its whole prompt is longer than so many tokens."""

    above_prompt_tokens: Annotated[int, Meta(description="Fresh input, cache reads and cache writes together.")]
    input_usd_per_mtok: Annotated[Decimal, Meta(description="Fresh input.")]
    output_usd_per_mtok: Annotated[Decimal, Meta(description="Output, reasoning included.")]
    cache_read_usd_per_mtok: Annotated[Decimal, Meta(description="Read from the cache.")]
    cache_write_usd_per_mtok: Annotated[Decimal, Meta(description="Written to the cache.")]
    cache_write_1h_usd_per_mtok: Annotated[Decimal, Meta(description="Written to the cache for an hour.")]


class GuardPrice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model costs, in dollars per million tokens; a cache price that is not named is that of input.

    A price of writes for an hour that is not named is that of other writes.
    """

    provider: Annotated[str, Meta(description="OpenClaw's name of the provider.")]
    model: Annotated[str, Meta(description="OpenClaw's name of the model.")]
    input_usd_per_mtok: Annotated[Decimal, Meta(description="Fresh input.")]
    output_usd_per_mtok: Annotated[Decimal, Meta(description="Output, reasoning included.")]
    cache_read_usd_per_mtok: Annotated[Decimal | None, Meta(description="Read from the cache.")] = None
    cache_write_usd_per_mtok: Annotated[Decimal | None, Meta(description="Written to the cache.")] = None
    cache_write_1h_usd_per_mtok: Annotated[
        Decimal | None, Meta(description="Written to the cache for an hour; part of what is written.")
    ] = None
    tiers: Annotated[list[GuardPriceTier], Meta(description="Prices of longer prompts, the shortest first.")] = []


class GuardState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a guard must know, whole: what ``GET /v1/guard`` answers."""

    rev: Annotated[int, Meta(description="Another number is another state; it grows.")]
    policy: Annotated[GuardPolicy, Meta(description="Limits, and what happens at them.")]
    prices: Annotated[list[GuardPrice], Meta(description="Prices of today, for this tenant.")]
    allowances: Annotated[list[Allowance], Meta(description="Those that have not lapsed.")]
    verdicts: Annotated[list[Verdict], Meta(description="Those in force, oldest first; releases among them.")]


class InvalidPolicy(ValueError):
    """A policy that cannot be; the text says what can."""


def check_policy(policy: GuardPolicy) -> None:
    """Refuse a policy whose limits are no amounts.

    Raises:
        InvalidPolicy: the text names the limit.
    """
    for name in ("run_limit_usd", "session_limit_usd", "agent_day_limit_usd"):
        limit: Decimal | None = getattr(policy, name)
        if limit is None:
            continue
        exponent = limit.normalize().as_tuple().exponent if limit.is_finite() else None
        if not isinstance(exponent, int) or not 0 < limit < MAX_LIMIT_USD or exponent < -LIMIT_DECIMALS:
            raise InvalidPolicy(
                f"{name} {limit}: use an amount above 0 and below {MAX_LIMIT_USD} dollars, with at most "
                f"{LIMIT_DECIMALS} decimals"
            )


_decoder = msgspec.json.Decoder(GuardMessage)


def decode_guard_message(value: bytes) -> GuardMessage:
    """Decode the value of a record of ``clawtrace.guard.v1``.

    Raises:
        msgspec.DecodeError: not JSON, or (as ValidationError) not of this contract; the text names the field.
    """
    return _decoder.decode(value)
