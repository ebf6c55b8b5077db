"""compose.yaml is what the Compose Specification allows, and runs what the local stack runs."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra.compose.health import is_ready
from infra.compose.make_secrets import make_secrets
from infra.local.scrape_targets import JOB_PREFIX
from infra.local.topology import PROCESSES, STEPS
from infra.runtime.metrics import serve_health
from infra.runtime.settings import LOOPBACK, PORT_OFFSETS
from tests.contract.reference import ROOT

FOLDER = ROOT / "infra/compose"
TEXT = (FOLDER / "compose.yaml").read_text()
SCHEMA = json.loads((FOLDER / "schema/compose-spec.json").read_text())
PORT_BASE = 4600
# ${NAME}, ${NAME:-default}, ${NAME:?complaint}; a default may hold one more variable.
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)((?:[^{}]|\$\{[^{}]*\})*))?\}")


def fill(text: str, given: dict[str, str]) -> str:
    """Put variables in as `docker compose config` does."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if given.get(name):
            return given[name]
        assert kind is not None, f"{name} has no default"
        assert kind == "-", f"{name}: {rest}"
        return fill(rest, given)

    return VARIABLE.sub(value, text)


def composed(**given: str) -> dict[str, Any]:
    """The file with its variables filled in."""
    must = {"POSTGRES_PASSWORD": "p", "TRINO_INTERNAL_SECRET": "t"}
    found: dict[str, Any] = yaml.safe_load(fill(TEXT, must | given))
    return found


SERVICES = composed()["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "clawtrace:latest"}


@pytest.mark.parametrize("given", [{}, {"TRINO_CATALOG": "s3", "CLAWTRACE_KAFKA_PROTOCOL": "sasl_ssl"}])
def test_it_is_valid(given: dict[str, str]) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    errors = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(composed(**given))
    ]
    assert errors == []


def test_the_schema_finds_a_word_that_compose_does_not_know() -> None:
    broken = composed()
    broken["services"]["gateway"]["helthcheck"] = {}
    assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "TRINO_INTERNAL_SECRET"])
def test_a_secret_has_no_default(name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        composed(**{name: ""})


def test_the_same_processes_run_as_on_one_machine() -> None:
    for name, port_name, after in PROCESSES:
        service = OURS[name]
        assert service["command"] == [name, "run"]
        assert service["healthcheck"]["test"][-1] == port_name
        assert set(after) <= set(service["depends_on"])
    for name, arguments, _ in STEPS:
        assert OURS[name]["command"] == list(arguments)
        assert OURS[name]["restart"] == "no"
    assert set(OURS) == {name for name, _, _ in PROCESSES} | {name for name, _, _ in STEPS} | {"secrets"}


def test_our_containers_may_do_little() -> None:
    for service in OURS.values():
        assert service["user"] == "10001:10001"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert all(service["deploy"]["resources"]["limits"]["memory"] for service in SERVICES.values())
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_a_service_waits_for_can_come_true() -> None:
    for name, service in SERVICES.items():
        for need, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[need], f"{name} waits for the health of {need}"
            else:
                assert SERVICES[need]["restart"] == "no", f"{name} waits for the end of {need}"


def test_every_mounted_file_is_there() -> None:
    for catalog in ("local", "s3"):
        for service in composed(TRINO_CATALOG=catalog)["services"].values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    assert (FOLDER / source).exists(), source
                else:
                    assert source in composed()["volumes"]


def test_variables_of_trino_are_given_to_it() -> None:
    files = [path for path in (FOLDER / "trino").rglob("*") if path.is_file()]
    used = {name for path in files for name in re.findall(r"\$\{ENV:(\w+)\}", path.read_text())}
    assert used <= set(SERVICES["trino"]["environment"])


def test_prometheus_is_told_every_process() -> None:
    found = json.loads((FOLDER / "prometheus-targets.json").read_text())
    expected = [
        {"targets": [f"{name}:{PORT_BASE + PORT_OFFSETS[port]}"], "labels": {"job": f"{JOB_PREFIX}{name}"}}
        for name, port, _ in PROCESSES
    ]
    assert found == expected


def test_no_image_is_named_with_its_host() -> None:
    texts = [TEXT, (FOLDER / "Dockerfile").read_text(), (ROOT / "infra/helm/clawtrace/values.yaml").read_text()]
    images = [name for text in texts for name in re.findall(r"(?:_IMAGE:?[-=]|repository: )([\w./:-]+)", text)]
    assert len(images) >= 7
    assert not [name for name in images if "." in name.split("/")[0] and "/" in name]


def pins(path: Path) -> set[str]:
    """Packages of a lock with their versions."""
    return {line.split()[0] for line in path.read_text().splitlines() if re.match(r"[a-z0-9].*==", line)}


def test_the_image_is_made_from_the_lock() -> None:
    assert pins(FOLDER / "requirements.lock") <= pins(ROOT / "requirements.lock")
    assert "--require-hashes" in (FOLDER / "Dockerfile").read_text()
    assert not {"pytest", "ruff", "mypy"} & {pin.split("==")[0] for pin in pins(FOLDER / "requirements.lock")}


def test_the_image_runs_as_nobody_and_copies_what_there_is() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / source).exists() for source in line.split()[1:-1]), line


def test_the_health_check_asks_the_process() -> None:
    missing: list[str] = []
    server = serve_health(0, lambda: missing)
    try:
        assert is_ready(server.port)
        missing.append("Kafka: no answer")
        assert not is_ready(server.port)
    finally:
        server.close()
    assert not is_ready(server.port)


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = make_secrets(folder)
    assert set(made) == {"key-pepper", "trino-jwt.key", "trino-server.pem", "trino-ca.pem"} == set(os.listdir(folder))
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in made} == {0o600}
    before = {name: (folder / name).read_text() for name in made}
    assert make_secrets(folder) == []
    assert {name: (folder / name).read_text() for name in made} == before


def test_processes_listen_where_other_containers_reach_them(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve_health(0, list, SERVICES["sink"]["environment"]["CLAWTRACE_LISTEN_HOST"])
    try:
        assert is_ready(server.port)
        assert SERVICES["sink"]["environment"]["CLAWTRACE_LISTEN_HOST"] != LOOPBACK
    finally:
        server.close()
