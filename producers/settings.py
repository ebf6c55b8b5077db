"""Settings of the gateway, on top of where everything is.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: ``producers.gateway``, ``producers.replay``.
Guarantee: the defaults are what the local stack uses.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from infra.runtime.settings import StackSettings
from producers.contracts.topics import EVENTS, GUARD


class GatewaySettings(StackSettings):
    """What the gateway can be told."""

    gateway_host: str = Field(default="", description="Address the gateway listens on; empty means listen_host.")
    gateway_port: int = Field(default=0, ge=0, le=65535, description="Port of the gateway; 0 means the port base.")
    gateway_events_topic: str = Field(
        default=EVENTS.name, description="Topic the gateway writes; its dead letters go to <topic>.dlq."
    )
    gateway_queue_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=8 * 1024 * 1024,
        description="Bytes that may wait for the broker; above it the gateway answers 429.",
    )
    gateway_tenant_events_per_s: float = Field(
        default=0,
        ge=0,
        description="Events that one tenant may send to a gateway each second, ten seconds' worth at once; above it "
        "that tenant gets 429, and the others notice nothing of it. 0: no limit.",
    )
    gateway_linger_ms: float = Field(
        default=5, ge=0, le=1000, description="How long a record waits for others to be sent with."
    )
    gateway_delivery_timeout_ms: int = Field(
        default=15_000,
        ge=1_000,
        description="How long the gateway waits for the broker's word before it answers 503.",
    )

    gateway_tick_s: float = Field(
        default=10, ge=0, le=60, description="Seconds between two ticks of the clock in the events topic; 0: none."
    )
    gateway_guard_topic: str = Field(
        default=GUARD.name, description="Topic with verdicts and allowances that the gateway tells guards of."
    )
    gateway_guard_streams: int = Field(
        default=1_000, ge=1, description="Guards that may wait at the gateway at once; above it answers 429."
    )
    gateway_guard_stream_s: float = Field(
        default=600, ge=1, description="How long a guard's stream lasts before it must be opened again."
    )
    prices_file: Path = Field(
        default=Path(),
        description="Own prices, read by gateway and stitcher; empty means <home>/config/prices.toml. "
        "Read again when it changes.",
    )

    @model_validator(mode="after")
    def _fill_defaults(self) -> Self:
        self.gateway_host = self.gateway_host or self.listen_host
        if self.prices_file == Path():
            self.prices_file = self.home / "config" / "prices.toml"
        return self

    @property
    def blobs_folder(self) -> Path:
        """Folder of payloads that were too big for an event."""
        return self.home / "blobs"

    @property
    def listen_port(self) -> int:
        """Port to listen on."""
        return self.gateway_port or self.port("gateway")
