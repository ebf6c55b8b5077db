"""How our clients prove to Kafka who they are: TLS and SASL, from the settings.

Upstream: the settings ``kafka_protocol``, ``kafka_mechanism``, ``kafka_username`` and so on.
Downstream: every client of confluent_kafka; Faust in ``stream_jobs/processors``.
Guarantee: with nothing set, a client speaks plaintext as the local broker does; certificates are always checked.
"""

from typing import Any

from infra.runtime.settings import StackSettings


def kafka_connection(bootstrap: str, settings: StackSettings | None = None) -> dict[str, Any]:
    """Return where the brokers are and how to speak to them, as librdkafka wants it.

    Without ``settings`` those of the environment count, which all processes are started with.
    """
    settings = settings or StackSettings()
    connection: dict[str, Any] = {"bootstrap.servers": bootstrap}
    if settings.kafka_protocol == "plaintext":
        return connection
    connection["security.protocol"] = settings.kafka_protocol
    if uses_sasl(settings):
        connection |= {
            "sasl.mechanism": settings.kafka_mechanism,
            "sasl.username": settings.kafka_username,
            "sasl.password": settings.kafka_password.get_secret_value(),
        }
    if uses_tls(settings) and settings.kafka_ca_file is not None:
        connection["ssl.ca.location"] = str(settings.kafka_ca_file)
    return connection


def uses_tls(settings: StackSettings) -> bool:
    """Whether the connection is encrypted."""
    return settings.kafka_protocol.endswith("ssl")


def uses_sasl(settings: StackSettings) -> bool:
    """Whether a user name and a password are sent."""
    return settings.kafka_protocol.startswith("sasl")
