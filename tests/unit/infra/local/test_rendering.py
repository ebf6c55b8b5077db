"""Configuration files as the stack writes them: addresses, secrets, and nothing left to fill in."""

import json
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from infra.local.credentials import ensure_credentials
from infra.local.errors import StackError
from infra.local.kafka import kafka_command, server_properties
from infra.local.layout import Layout
from infra.local.rendering import options, render
from infra.local.trino import prepare_trino, prepare_worker, trino_command
from infra.runtime.settings import StackSettings

ADDRESS = re.compile(r"(?:https?|PLAINTEXT|CONTROLLER|jdbc:postgresql)://([^:/,]+)")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("CLAWTRACE_CACHE", str(tmp_path / "cache"))
    layout = Layout.of(StackSettings(home=tmp_path / "home", port_base=7000))
    ensure_credentials(layout)
    return layout


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="roles"):
        render("kafka/server.properties", port=1, data_folder="x")


def test_kafka_listens_on_loopback_only(layout: Layout) -> None:
    text = server_properties(layout)
    assert set(ADDRESS.findall(text)) == {"127.0.0.1"}
    assert "listeners=PLAINTEXT://127.0.0.1:7003,CONTROLLER://127.0.0.1:7008" in text
    assert "auto.create.topics.enable=false" in text


def test_trino_gets_a_whole_etc_folder(layout: Layout) -> None:
    prepare_trino(layout)
    etc = layout.trino() / "etc"
    texts = {file.relative_to(etc).as_posix(): file.read_text() for file in etc.rglob("*.properties")}
    assert {"config.properties", "access-control.properties", "catalog/iceberg.properties"} <= set(texts)
    assert not any("${" in text for text in texts.values())
    config = texts["config.properties"]
    assert "http-server.https.port=7002" in config
    assert "http-server.http.port=7009" in config
    assert "node.bind-ip=127.0.0.1" in config
    assert "http-server.authentication.type=JWT" in config
    assert f"security.config-file={etc / 'rules.json'}" in texts["access-control.properties"]
    assert "security.refresh-period=2s" in texts["access-control.properties"]
    assert "jdbc:postgresql://127.0.0.1:7004/clawtrace" in texts["catalog/iceberg.properties"]
    assert set(ADDRESS.findall("\n".join(texts.values()))) == {"127.0.0.1"}


def test_files_with_secrets_are_private(layout: Layout) -> None:
    prepare_trino(layout)
    etc = layout.trino() / "etc"
    private = [etc / "config.properties", etc / "catalog" / "iceberg.properties", *layout.secrets.iterdir()]
    assert {file.stat().st_mode & 0o777 for file in private} == {0o600}
    assert layout.secrets.stat().st_mode & 0o777 == 0o700


def test_rules_of_somebody_else_are_kept(layout: Layout) -> None:
    layout.rules_file.parent.mkdir(parents=True)
    layout.rules_file.write_text('{"mine": true}')
    prepare_trino(layout)
    assert json.loads(layout.rules_file.read_text()) == {"mine": True}


def test_without_rules_only_our_service_users_get_in(layout: Layout) -> None:
    prepare_trino(layout)
    rules = json.loads(layout.rules_file.read_text())
    assert rules["catalogs"][-1] == {"allow": "none"}
    assert rules["tables"][-1] == {"privileges": []}


def test_secrets_are_made_once(layout: Layout) -> None:
    before = {file.name: file.read_text() for file in layout.secrets.iterdir()}
    ensure_credentials(layout)
    assert {file.name: file.read_text() for file in layout.secrets.iterdir()} == before
    assert {"trino-ca.pem", "trino-jwt.key", "key-pepper", "postgres-password"} <= set(before)


def test_java_commands_name_a_heap_limit(layout: Layout) -> None:
    for command in (kafka_command(layout), trino_command(layout)):
        assert any(option.startswith("-Xmx") for option in command)
    assert all(line.startswith("-") for line in options("trino/jvm.config"))


def cluster_layout(tmp_path: Path, **more: Any) -> Layout:
    """The shape of a cluster, as the settings say it."""
    home = tmp_path / "home"
    settings: dict[str, Any] = {
        "local_nodes": 2, "kafka_protocol": "sasl_ssl", "kafka_username": "me", "kafka_password": "secret",
        "kafka_ca_file": home / "secrets" / "kafka-ca.pem", "warehouse": "s3://bucket/warehouse",
        "catalog_properties": {"s3.endpoint": "http://127.0.0.1:9000", "s3.secret-access-key": "hidden"}, **more,
    }  # fmt: skip
    return Layout.of(StackSettings(home=home, port_base=7000, **settings))


def test_two_brokers_ask_for_tls_and_a_password_and_keep_everything_twice(tmp_path: Path) -> None:
    layout = cluster_layout(tmp_path)
    assert layout.settings.kafka_bootstrap == "127.0.0.1:7003,127.0.0.1:7012"
    first, second = server_properties(layout), server_properties(layout, 2)
    assert "process.roles=broker,controller\n" in first
    assert "process.roles=broker\n" in second
    assert "\nlisteners=SASL_SSL://127.0.0.1:7003,CONTROLLER://127.0.0.1:7008\n" in first
    assert "\nlisteners=SASL_SSL://127.0.0.1:7012\n" in second
    for text in (first, second):
        assert "PLAINTEXT://" not in text
        assert "default.replication.factor=2" in text
        assert f"ssl.keystore.location={layout.secrets / 'kafka-server.pem'}" in text
        assert 'ScramLoginModule required username="me" password="secret";' in text
    plain = server_properties(cluster_layout(tmp_path, kafka_mechanism="PLAIN"))
    assert 'PlainLoginModule required username="me" password="secret" user_me="secret";' in plain
    with pytest.raises(StackError, match="CLAWTRACE_KAFKA_PASSWORD"):
        server_properties(cluster_layout(tmp_path, kafka_password='a"b'))


def test_certificates_of_the_brokers_are_signed_where_the_clients_look(tmp_path: Path) -> None:
    layout = cluster_layout(tmp_path)
    ensure_credentials(layout)
    keystore = (layout.secrets / "kafka-server.pem").read_text()
    assert keystore.startswith("-----BEGIN PRIVATE KEY-----"), "the one form that Kafka reads"
    ssl.create_default_context(cafile=layout.settings.kafka_ca_file)
    with pytest.raises(StackError, match="CLAWTRACE_KAFKA_CA_FILE"):
        ensure_credentials(cluster_layout(tmp_path, kafka_ca_file=tmp_path / "other.pem"))


def test_both_trino_nodes_read_the_object_store_that_pyiceberg_writes_to(tmp_path: Path) -> None:
    layout = cluster_layout(tmp_path)
    ensure_credentials(layout)
    prepare_trino(layout)
    prepare_worker(layout)
    catalogs = [(layout.trino(node) / "etc" / "catalog" / "iceberg.properties").read_text() for node in (1, 2)]
    assert catalogs[0] == catalogs[1]
    assert "fs.native-s3.enabled=true" in catalogs[0]
    assert "s3.endpoint=http://127.0.0.1:9000" in catalogs[0]
    assert "s3.aws-secret-key=hidden" in catalogs[0]
    assert "fs.native-local" not in catalogs[0]
    worker = (layout.trino(2) / "etc" / "config.properties").read_text()
    assert "coordinator=false" in worker
    assert "discovery.uri=http://127.0.0.1:7009" in worker
    assert "http-server.http.port=7013" in worker
