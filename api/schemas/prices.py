"""What the routes of prices take and answer.

Upstream: stream_jobs.prices; producers.contracts.pricing.
Downstream: OpenAPI, the web UI, clients.
Guarantee: prices are decimal text, in dollars per million tokens; a missing price is null or a 404, never 0.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import Answer

_NAME = r"^[^\x00-\x1f]+$"
PriceText = Annotated[str, Field(max_length=32, examples=["0.30"])]
MAX_TIERS = 20
MAX_PROMPT_TOKENS = 1_000_000_000
RepriceKind = Literal["dry_run", "apply"]
RepriceState = Literal["running", "done", "failed"]


class Rates(Answer):
    """Dollars per million tokens, as decimal text."""

    input: str = Field(description="Fresh input.")
    cache_read: str = Field(description="Read from the cache.")
    cache_write: str = Field(description="Written to the cache.")
    cache_write_1h: str = Field(description="Written to the cache for an hour.")
    output: str = Field(description="Output, reasoning included.")


class PriceItem(Rates):
    """What one model costs on a day."""

    provider: str = Field(description="The provider.")
    model: str = Field(description="The model; * stands for all of the provider.")
    price_id: str = Field(description="Which list and which row says so; spans carry it.")
    is_override: bool = Field(description="Whether somebody of this install wrote the price down.")


class PriceList(Answer):
    """Prices that were found."""

    items: list[PriceItem] = Field(description="Prices by provider and model.")
    num_found: int = Field(description="How many there are, those beyond the limit too.")


class PriceTier(Rates):
    """What a call costs whose whole prompt is longer."""

    above_prompt_tokens: int = Field(description="Longer than so many tokens.")


class PriceDetail(PriceItem):
    """All that is known of one model's price at an instant."""

    tiers: list[PriceTier] = Field(description="Prices of longer prompts, rising; a tier counts for the whole call.")
    looked_for: list[str] = Field(description="Under which names it was looked for in the lists.")


class PriceTierFields(BaseModel):
    """What a call costs whose whole prompt (fresh, read and written) is longer, in dollars per million tokens."""

    model_config = ConfigDict(extra="forbid")

    above_prompt_tokens: int = Field(ge=1, le=MAX_PROMPT_TOKENS, description="Longer than so many tokens.")
    input_usd_per_mtok: PriceText = Field(description="Fresh input.")
    output_usd_per_mtok: PriceText = Field(description="Output, reasoning included.")
    cache_read_usd_per_mtok: PriceText | None = Field(None, description="Read; named if the price names it.")
    cache_write_usd_per_mtok: PriceText | None = Field(None, description="Written; named if the price names it.")
    cache_write_1h_usd_per_mtok: PriceText | None = Field(
        None, description="Written for an hour; named if the price names it."
    )


class PriceOverrideFields(BaseModel):
    """One price that somebody wrote down, in dollars per million tokens."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(
        min_length=1, max_length=128, pattern=_NAME, description="OpenClaw's name of the provider.", examples=["acme"]
    )
    model: str = Field(
        min_length=1, max_length=256, pattern=_NAME, description="OpenClaw's name of the model; * for all of them."
    )
    input_usd_per_mtok: PriceText = Field(description="Fresh input.")
    output_usd_per_mtok: PriceText = Field(description="Output, reasoning included.")
    cache_read_usd_per_mtok: PriceText | None = Field(None, description="Read from the cache; at first as input.")
    cache_write_usd_per_mtok: PriceText | None = Field(None, description="Written to the cache; at first as input.")
    cache_write_1h_usd_per_mtok: PriceText | None = Field(
        None, description="Written for an hour; at first as written, twice input for Claude."
    )
    effective_from: date | None = Field(None, description="First day (UTC); without it always.")
    effective_until: date | None = Field(None, description="First day on which it holds no more.")
    source: str | None = Field(None, max_length=500, pattern=_NAME, description="Where the price is from.")
    tiers: list[PriceTierFields] | None = Field(
        None,
        max_length=MAX_TIERS,
        description="Prices of longer prompts, rising; a tier counts for the whole call. Without it (or null) a price "
        "that has tiers is not replaced; [] takes them away.",
    )


class PriceOverrideItem(PriceOverrideFields):
    """One price that somebody wrote down."""

    is_own: bool = Field(description="False: the install's, for all tenants; only its operator changes it.")
    tiers: list[PriceTierFields] = Field(
        description="Prices of longer prompts, rising; a tier counts for the whole call."
    )


class PriceOverrideList(Answer):
    """Every price that was written down for this tenant or for all."""

    items: list[PriceOverrideItem] = Field(description="In the order of the file; of several the tenant's own holds.")


class PriceCheck(Answer):
    """What a price would change; nothing was written."""

    is_new: bool = Field(description="Whether it is a new row, or takes the place of one.")
    before: PriceDetail | None = Field(description="The price on its first day (or today) now; null: none.")
    after: PriceDetail | None = Field(description="The same with the row; null for the row * of a provider.")


class RepriceRequest(BaseModel):
    """History to be looked at again."""

    model_config = ConfigDict(extra="forbid")

    since: date = Field(description="First day (UTC).")
    until: date | None = Field(None, description="Last day (UTC), included; without it today.")
    agent_id: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Only calls of this OpenClaw install."
    )
    reason: str = Field(
        "prices were corrected", min_length=1, max_length=500, pattern=_NAME, description="Why; it is kept with it."
    )


class RepricedModel(Answer):
    """What changes for one model."""

    model: str = Field(description="Provider and model.")
    num_calls: int = Field(description="Calls whose cost changes.")
    num_were_unpriced: int = Field(description="Those that had no price.")
    num_get_unpriced: int = Field(description="Those that lose theirs.")
    was_usd: str = Field(description="What they cost in the tables.")
    now_usd: str = Field(description="What they cost by today's prices.")


class RepriceJob(Answer):
    """History being priced again: how far it is, and what changes."""

    job_id: str = Field(description="Names it.")
    kind: RepriceKind = Field(description="dry_run only says what would change; apply does it.")
    state: RepriceState = Field(description="running, done or failed.")
    since: date = Field(description="First day (UTC).")
    until: date = Field(description="Last day (UTC), included.")
    agent_id: str | None = Field(description="Only calls of this OpenClaw install; null: of all.")
    reason: str = Field(description="Why.")
    started_by: str = Field(description="Who, as the audit log says it.")
    started_at: datetime = Field(description="When (UTC).")
    updated_at: datetime = Field(description="When it last said how far it is (UTC).")
    num_calls_read: int = Field(description="Calls looked at so far.")
    num_calls_total: int | None = Field(description="Calls to be looked at; null while that is not known.")
    num_calls_changed: int = Field(description="Calls whose cost changes, so far.")
    num_requests_sent: int = Field(description="Requests that the gateway has taken; 0 for a dry run.")
    was_usd: str = Field(description="What the changed calls cost in the tables.")
    now_usd: str = Field(description="What they cost by today's prices.")
    agents: list[str] = Field(description="OpenClaw installs with changed calls.")
    models: list[RepricedModel] = Field(description="The changes by model.")
    error: str = Field(description="Why it failed, and what to do; empty when it did not.")


class RepriceJobList(Answer):
    """The newest jobs."""

    items: list[RepriceJob] = Field(description="Jobs, newest first, at most 50.")
