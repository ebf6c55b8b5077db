"""Configuration files as the stack writes them: addresses, secrets, and nothing left to fill in."""

import json
import re
from pathlib import Path

import pytest

from infra.local.credentials import ensure_credentials
from infra.local.kafka import kafka_command
from infra.local.layout import Layout
from infra.local.rendering import options, render
from infra.local.trino import prepare_trino, trino_command
from infra.runtime.settings import StackSettings

ADDRESS = re.compile(r"(?:https?|PLAINTEXT|CONTROLLER|jdbc:postgresql)://([^:/,]+)")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("CLAWTRACE_CACHE", str(tmp_path / "cache"))
    layout = Layout.of(StackSettings(home=tmp_path / "home", port_base=7000))
    ensure_credentials(layout)
    return layout


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="controller_port"):
        render("kafka/server.properties", port=1, data_folder="x")


def test_kafka_listens_on_loopback_only() -> None:
    text = render("kafka/server.properties", port=7003, controller_port=7008, data_folder="/data")
    assert set(ADDRESS.findall(text)) == {"127.0.0.1"}
    assert "listeners=PLAINTEXT://127.0.0.1:7003,CONTROLLER://127.0.0.1:7008" in text
    assert "auto.create.topics.enable=false" in text


def test_trino_gets_a_whole_etc_folder(layout: Layout) -> None:
    prepare_trino(layout)
    etc = layout.trino / "etc"
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
    etc = layout.trino / "etc"
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
