"""Settings of the stream jobs, on top of where everything is.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: ``stream_jobs.processors``, ``stream_jobs.budgets``, ``stream_jobs.learn``, ``stream_jobs.notify``.
Guarantee: the defaults are what the local stack uses.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from infra.runtime.settings import StackSettings
from stream_jobs.core.notify.addresses import Network, parse_networks

# A revision is generation << 44 | offset and must stay a positive 64-bit number.
MAX_LOG_GENERATION = (1 << 19) - 1


class StitcherSettings(StackSettings):
    """What the stitcher can be told."""

    prices_file: Path = Field(
        default=Path(), description="Own prices; empty means <home>/config/prices.toml. Read again when it changes."
    )
    rules_file: Path = Field(
        default=Path(), description="Alert rules; empty means <home>/config/rules.toml. Read again when it changes."
    )
    log_generation: int = Field(
        default=0,
        ge=0,
        le=MAX_LOG_GENERATION,
        description="High bits of every revision. Raise it by one whenever the events topic was created anew, "
        "because its offsets start from zero again and would otherwise be taken for records already seen.",
    )
    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )
    stitcher_instance: str = Field(
        default="0",
        min_length=1,
        description="Static member of the consumer group: a restarted process takes its partitions back at once. "
        "Each process that runs at the same time needs its own, and its own home.",
    )
    stitcher_in_flight: int = Field(
        default=16, ge=1, le=1000, description="Records whose outputs may wait for the broker at the same time."
    )
    stitcher_stall_s: float = Field(
        default=30, gt=0, description="Seconds without progress under lag, after which the process gives up."
    )

    @model_validator(mode="after")
    def _fill_stitcher_defaults(self) -> Self:
        if self.prices_file == Path():
            self.prices_file = self.home / "config" / "prices.toml"
        if self.rules_file == Path():
            self.rules_file = self.home / "config" / "rules.toml"
        return self

    @property
    def stitcher_folder(self) -> Path:
        """Folder of the local copy of the stitcher's state."""
        return self.home / "stitcher"


class BudgetsSettings(StackSettings):
    """What the keeper of budgets can be told."""

    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )
    budgets_look_seconds: float = Field(
        default=0.5,
        gt=0,
        description="How often the keeper looks for changed budgets, releases, and windows and leases that end.",
    )
    budgets_standby_seconds: float = Field(
        default=1.0, gt=0, description="How often a second keeper asks whether the first is gone."
    )
    budgets_max_consecutive_dead: int = Field(
        default=100, ge=0, description="Unreadable records in a row after which the keeper stops."
    )


class LearnerSettings(StackSettings):
    """What the learner can be told."""

    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )
    rubrics_folder: Path = Field(
        default=Path(),
        description="Rubrics, as <tenant>/<agent>.toml; empty means <home>/config/rubrics. Read when they change.",
    )
    learner_look_seconds: float = Field(
        default=0.5, gt=0, description="How often it looks for scores that people and models gave."
    )
    learner_standby_seconds: float = Field(
        default=1.0, gt=0, description="How often a second learner asks whether the first is gone."
    )
    learner_keep_days: int = Field(
        default=90, ge=1, le=3650, description="Days that it remembers what a run cost, to compare later ones with."
    )
    learner_max_consecutive_dead: int = Field(
        default=100, ge=0, description="Unreadable records in a row after which the learner stops."
    )

    @model_validator(mode="after")
    def _fill_learner_defaults(self) -> Self:
        if self.rubrics_folder == Path():
            self.rubrics_folder = self.home / "config" / "rubrics"
        return self


class NotifierSettings(StackSettings):
    """What the notifier can be told."""

    topic_prefix: str = Field(
        default="", description="Put before every topic and group name; several installs can share one cluster."
    )
    notify_base_url: str = Field(
        default="", description="Where people open traces, for links in messages; empty means the local API."
    )
    notify_allowed_networks: str = Field(
        default="",
        description="Networks, with commas between them, that channels may reach although they are private, on any "
        "port; for instance 10.1.2.0/24 for your own Alertmanager. Empty: none.",
    )
    notify_key_file: Path = Field(
        default=Path(),
        description="Key that encrypts what is secret in channels; empty means <home>/secrets/notify-key. Every "
        "notifier and every person who adds channels needs the same.",
    )
    notify_group_seconds: float = Field(
        default=5.0, ge=0, le=300, description="How long a message waits for more alerts of the same run."
    )
    notify_first_wait_seconds: float = Field(
        default=5.0, gt=0, description="Wait after the first try that fails; then three times as long, up to an hour."
    )
    notify_max_tries: int = Field(
        default=10, ge=1, le=100, description="Tries after which a message becomes a dead letter."
    )
    notify_num_senders: int = Field(default=4, ge=1, le=32, description="Messages that are delivered at the same time.")
    notify_look_seconds: float = Field(
        default=0.5, gt=0, description="How often it looks for acknowledgements and for alerts to be told again."
    )
    notify_standby_seconds: float = Field(
        default=1.0, gt=0, description="How often a second notifier asks whether the first is gone."
    )
    notify_max_consecutive_dead: int = Field(
        default=100, ge=0, description="Unreadable records in a row after which the notifier stops."
    )

    @field_validator("notify_allowed_networks")
    @classmethod
    def _check_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @model_validator(mode="after")
    def _fill_notifier_defaults(self) -> Self:
        if self.notify_key_file == Path():
            self.notify_key_file = self.secrets_folder / "notify-key"
        self.notify_base_url = (self.notify_base_url or self.api_url).rstrip("/")
        return self

    @property
    def allowed_networks(self) -> tuple[Network, ...]:
        """Networks that the operator exempts from the guard."""
        return parse_networks(self.notify_allowed_networks)
