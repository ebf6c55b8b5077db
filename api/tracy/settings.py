"""Settings of Tracy: which model, with which key, and what one question may cost.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: api/tracy.
Guarantee: without a key or an address nothing leaves this machine. A key of the environment that is meant for other
programs is not used: what agents wrote goes to the model, so somebody must have said that it may.
"""

from decimal import Decimal

from pydantic import Field, SecretStr

from infra.runtime.settings import StackSettings

HOW_TO_CONFIGURE = (
    "Tracy has no model yet. Set CLAWTRACE_TRACY_API_KEY to a key of the Anthropic API, or CLAWTRACE_TRACY_BASE_URL to "
    "a local server that speaks its Messages API, and start the API again. CLAWTRACE_TRACY_MODEL names the model. "
    "Everything else works without it."
)


class TracySettings(StackSettings):
    """Settings of Tracy, inside the process ``clawtrace api run``."""

    tracy_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key of the Anthropic API; without it and without an address Tracy is off."
    )
    tracy_base_url: str = Field(
        default="", description="Address of a server that speaks the Anthropic Messages API; empty means Anthropic's."
    )
    tracy_model: str = Field(default="claude-sonnet-5-5", description="Model that Tracy asks.")
    tracy_max_queries: int = Field(default=12, ge=1, le=100, description="Queries that one question may run.")
    tracy_max_tokens: int = Field(
        default=200_000, ge=1_000, description="Tokens that one question may use, cached ones included."
    )
    tracy_max_usd: Decimal = Field(
        default=Decimal("0.50"),
        gt=0,
        description="Dollars that one question may cost; tokens alone count when the model has no known price.",
    )
    tracy_max_answer_tokens: int = Field(
        default=4_000, ge=100, le=64_000, description="Tokens of one reply of the model."
    )
    tracy_timeout_s: float = Field(default=180.0, gt=0, description="Seconds after which a question is given up.")
    tracy_model_retries: int = Field(
        default=2, ge=0, le=10, description="How often a call is repeated when the model's server is busy or away."
    )
    tracy_max_questions: int = Field(default=8, ge=1, le=256, description="Questions that are answered at once.")
    tracy_max_rows: int = Field(default=500, ge=1, le=10_000, description="Rows that one query of a tool may return.")
    tracy_observe_key: SecretStr = Field(
        default=SecretStr(""),
        description="Ingest key under which Tracy's own runs are recorded in ClawTrace; empty means they are not.",
    )
    mcp_hosts: str = Field(
        default="",
        description="Hosts under which /mcp may be called besides this machine's own, with blanks between; "
        "name:* allows any port.",
    )

    @property
    def is_configured(self) -> bool:
        """Whether there is a model to ask."""
        return bool(self.tracy_api_key.get_secret_value() or self.tracy_base_url)
