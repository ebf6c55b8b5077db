"""Settings of the gateway, on top of where everything is.

Upstream: environment variables with the prefix ``CLAWTRACE_``.
Downstream: ``producers.gateway``, ``producers.replay``.
Guarantee: the defaults are what the local stack uses.
"""

from pydantic import Field

from infra.runtime.settings import LOOPBACK, StackSettings
from producers.contracts.topics import EVENTS


class GatewaySettings(StackSettings):
    """What the gateway can be told."""

    gateway_host: str = Field(default=LOOPBACK, description="Address the gateway listens on.")
    gateway_port: int = Field(default=0, ge=0, le=65535, description="Port of the gateway; 0 means the port base.")
    gateway_events_topic: str = Field(
        default=EVENTS.name, description="Topic the gateway writes; its dead letters go to <topic>.dlq."
    )
    gateway_queue_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=8 * 1024 * 1024,
        description="Bytes that may wait for the broker; above it the gateway answers 429.",
    )
    gateway_linger_ms: float = Field(
        default=5, ge=0, le=1000, description="How long a record waits for others to be sent with."
    )
    gateway_delivery_timeout_ms: int = Field(
        default=15_000,
        ge=1_000,
        description="How long the gateway waits for the broker's word before it answers 503.",
    )

    @property
    def listen_port(self) -> int:
        """Port to listen on."""
        return self.gateway_port or self.port("gateway")
