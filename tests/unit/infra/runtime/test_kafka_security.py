"""Settings become what librdkafka takes, and nothing secret is said when nothing is set."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

from infra.runtime.kafka_security import kafka_connection
from infra.runtime.settings import StackSettings

SASL: dict[str, Any] = {"kafka_username": "clawtrace", "kafka_password": "s3cret", "kafka_mechanism": "SCRAM-SHA-256"}


def test_the_local_broker_is_spoken_to_in_plaintext() -> None:
    assert kafka_connection("broker:9092", StackSettings()) == {"bootstrap.servers": "broker:9092"}


def test_sasl_over_tls_has_user_password_and_authority() -> None:
    settings = StackSettings(kafka_protocol="sasl_ssl", kafka_ca_file=Path("/secrets/ca.pem"), **SASL)
    assert kafka_connection("broker:9092", settings) == {
        "bootstrap.servers": "broker:9092",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "clawtrace",
        "sasl.password": "s3cret",
        "ssl.ca.location": "/secrets/ca.pem",
    }
    assert "s3cret" not in repr(settings)


def test_tls_alone_sends_no_password() -> None:
    settings = StackSettings(kafka_protocol="ssl", **SASL)
    assert kafka_connection("broker:9092", settings) == {"bootstrap.servers": "broker:9092", "security.protocol": "ssl"}


@pytest.mark.parametrize("protocol", ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])
def test_the_client_library_takes_every_protocol(protocol: Any) -> None:
    Producer(kafka_connection("127.0.0.1:1", StackSettings(kafka_protocol=protocol, **SASL)))


def test_an_authority_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = StackSettings(kafka_protocol="ssl", kafka_ca_file=tmp_path / "none.pem")
    with pytest.raises(KafkaException, match=r"ssl\.ca\.location"):
        Producer(kafka_connection("127.0.0.1:1", settings))


def test_processes_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWTRACE_KAFKA_PROTOCOL", "sasl_ssl")
    monkeypatch.setenv("CLAWTRACE_KAFKA_USERNAME", "somebody")
    assert kafka_connection("broker:9092")["sasl.username"] == "somebody"
