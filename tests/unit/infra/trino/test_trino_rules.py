"""The access rules as data; what Trino makes of them is tested on the real engine (tests/integration/api)."""

import base64
import json
import re
from datetime import timedelta
from pathlib import Path

import jwt
import pytest

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import connect, sign_token, tenant_user
from infra.trino.rules import ROW_FILTER, VIEWS, access_rules, rules_json
from lakehouse.contracts.manifest import DEFAULT_VIEW_NAMESPACE
from lakehouse.contracts.views import OPERATOR_USER, TENANT_USER_PREFIX, view_names


def test_the_rules_know_the_views_of_the_lakehouse() -> None:
    assert set(VIEWS) == set(view_names())
    assert DEFAULT_VIEW_NAMESPACE in {rule.get("schema") for rule in access_rules()["tables"]}
    assert tenant_user("abcdef").startswith(TENANT_USER_PREFIX)
    assert OPERATOR_USER in {rule.get("user") for rule in access_rules()["tables"]}


def test_no_section_is_missing_because_trino_allows_what_it_finds_no_section_for() -> None:
    sections = "catalogs schemas tables functions procedures queries impersonation system_information authorization"
    assert {*sections.split(), "system_session_properties", "catalog_session_properties"} == set(access_rules())
    for section in ("catalogs", "schemas", "tables", "system_session_properties", "impersonation"):
        last = access_rules()[section][-1]
        assert last.get("allow") in ("none", False) or last.get("owner") is False or last.get("privileges") == []


def _first(user: str, schema: str, table: str) -> dict[str, object]:
    """The rule that decides, as Trino finds it: the first whose patterns match whole names."""
    for rule in access_rules()["tables"]:
        wanted = {"user": user, "catalog": "iceberg", "schema": schema, "table": table}
        if all(re.fullmatch(str(rule.get(part, ".*")), name) for part, name in wanted.items()):
            return rule
    raise AssertionError("no rule decides")


@pytest.mark.parametrize("view", VIEWS)
def test_a_tenant_reads_views_with_its_filter(view: str) -> None:
    rule = _first("t_abcdef", "clawtrace", view)
    assert rule["privileges"] == ["SELECT"]
    assert rule["filter"] == ROW_FILTER


@pytest.mark.parametrize(
    ("schema", "table"),
    [("silver", "spans"), ("clawtrace", "spans$files"), ("clawtrace", "xspans"), ("clawtrace", "spansx"), ("x", "y")],
)
@pytest.mark.parametrize("user", ["t_abcdef", "t_ABC", "t_", "someone", "clawtrace_api"])
def test_everything_else_is_shut_and_has_a_filter_against_upkeep(user: str, schema: str, table: str) -> None:
    rule = _first(user, schema, table)
    assert rule["privileges"] == []
    assert rule["filter"] == "false"


def test_only_maintenance_has_no_filter() -> None:
    assert {rule.get("user") for rule in access_rules()["tables"] if "filter" not in rule} == {
        "maintenance",
        "clawtrace_api",
    } | {rule["user"] for rule in access_rules()["tables"] if rule.get("catalog") == "system"}


def test_the_text_is_json() -> None:
    assert json.loads(rules_json(access_rules())) == access_rules()


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    key_file = tmp_path / "jwt.key"
    key_file.write_text(base64.b64encode(b"k" * 64).decode() + "\n")
    return StackSettings(home=tmp_path, trino_jwt_key_file=key_file)


def test_a_token_names_the_principal_and_ends(settings: StackSettings) -> None:
    token = sign_token(settings, "t_abcdef", timedelta(hours=1))
    claims = jwt.decode(token, b"k" * 64, algorithms=["HS256"])
    assert claims["sub"] == "t_abcdef"
    assert 3500 < claims["exp"] - claims["iat"] < 3700


@pytest.mark.parametrize("name", ["", "root", "t_ABCDEF", "t_abc", "xxabcdef", "abcdef", "t_abcdef'--", "t_t_abcd"])
def test_nobody_else_gets_a_token(settings: StackSettings, name: str) -> None:
    with pytest.raises(ValueError, match=r"tenant id|nobody may log in"):
        sign_token(settings, name)


def test_a_connection_ignores_the_environment(settings: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere.pem")
    connection = connect(settings, "clawtrace_api", "t_abcdef")
    session = connection._http_session
    assert session.trust_env is False
    assert session.verify == str(settings.trino_ca_file)
    assert connection.user == "t_abcdef"
    assert connection.http_scheme == "https"


def test_every_tenant_has_a_resource_group_of_its_own() -> None:
    file = Path(__file__).resolve().parents[4] / "infra" / "trino" / "etc" / "resource-groups.json"
    groups = json.loads(file.read_text())
    first, last = groups["selectors"]
    assert re.fullmatch(first["user"], tenant_user("abcdef"))
    assert not re.fullmatch(first["user"], "maintenance")
    assert first["group"] == "tenants.${USER}"
    assert set(last) == {"group"}, "the last selector takes everybody else, or Trino refuses their queries"
