"""What a tenant sets of its alert rules, over real Postgres, and a stitcher that follows it without a restart."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from stream_jobs.core.detect.rules import RULES
from stream_jobs.core.detect.session_cost import SessionCostSettings
from stream_jobs.processors.compose import Rules
from stream_jobs.rules.reader import RuleRowsReader
from stream_jobs.settings import StitcherSettings
from tests.integration.api.conftest import Client, People
from tests.integration.doors import wait_until


def rule_of(client: Client, rule: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(f"/v1/rules/{rule}", **parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def setting_of(client: Client, rule: str, name: str, **parameters: Any) -> tuple[Any, str]:
    """Value and layer of a setting."""
    (found,) = (it for it in rule_of(client, rule, **parameters)["settings"] if it["name"] == name)
    return found["value"], found["set_by"]


def test_every_rule_is_listed_with_what_holds(people: People) -> None:
    found = people.viewer.get("/v1/rules").json()
    assert [it["rule"] for it in found["items"]] == [rule.name for rule in RULES]
    assert len(found["items"]) == 20
    for item in found["items"]:
        assert item["meaning"].endswith("."), item["rule"]
        assert item["remedy"]
        assert item["recovery"]
        assert {"enabled", "severity", "action", "hold_s"} < {it["name"] for it in item["settings"]}
        assert all(it["description"] for it in item["settings"]), item["rule"]
        assert item["overrides"] == []
    (limit,) = (it for it in found["items"][1]["settings"] if it["name"] == "limit_usd")
    assert (limit["default"], limit["set_by"]) == ("20.00", "default")


def test_agent_over_tenant_over_built_in(people: People) -> None:
    body = {"settings": {"limit_usd": "2.50", "action": "abort"}}
    answer = people.admin.send("PUT", "/v1/rules/session_cost/override", body)
    assert answer.status_code == 200, answer.text
    assert setting_of(people.viewer, "session_cost", "limit_usd") == ("2.50", "tenant")
    of_agent = {"agent_id": "laptop", "settings": {"limit_usd": "0.75"}}
    assert people.admin.send("PUT", "/v1/rules/session_cost/override", of_agent).status_code == 200
    assert setting_of(people.viewer, "session_cost", "limit_usd", agent_id="laptop") == ("0.75", "agent")
    assert setting_of(people.viewer, "session_cost", "action", agent_id="laptop") == ("abort", "tenant")
    assert setting_of(people.viewer, "session_cost", "limit_usd", agent_id="other") == ("2.50", "tenant")
    overrides = rule_of(people.viewer, "session_cost")["overrides"]
    assert [(it["agent_id"], it["settings"], it["is_from_file"]) for it in overrides] == [
        (None, body["settings"], False),
        ("laptop", of_agent["settings"], False),
    ]
    assert overrides[0]["updated_by"].startswith("key:")
    # Set anew, what is not named goes back to the layer above.
    people.admin.send("PUT", "/v1/rules/session_cost/override", {"settings": {"limit_usd": "3.00"}})
    assert setting_of(people.viewer, "session_cost", "action") == ("none", "default")

    assert people.admin.send("DELETE", "/v1/rules/session_cost/override", agent_id="laptop").status_code == 204
    assert people.admin.send("DELETE", "/v1/rules/session_cost/override", agent_id="laptop").status_code == 404
    assert setting_of(people.viewer, "session_cost", "limit_usd", agent_id="laptop") == ("3.00", "tenant")
    assert people.admin.send("DELETE", "/v1/rules/session_cost/override").status_code == 204
    assert setting_of(people.viewer, "session_cost", "limit_usd") == ("20.00", "default")
    assert [entry["details"]["agent_id"] for entry in people.audited("rule.unset")] == [None, "laptop"]
    assert len(people.audited("rule.set")) == 3


@pytest.mark.parametrize(
    ("rule", "settings", "field"),
    [
        ("session_cost", {"limit_usd": "-1"}, "body.settings.limit_usd"),
        ("session_cost", {"limit_usd": 0.1}, "body.settings.limit_usd"),
        ("session_cost", {"limit": "1"}, "body.settings.limit"),
        ("tool_loop", {"max_same_calls": 1}, "body.settings.max_same_calls"),
        ("tool_loop", {"severity": "loud"}, "body.settings.severity"),
        ("tool_loop", {"enabled": "perhaps"}, "body.settings.enabled"),
        ("tool_loop", {}, "body.settings"),
    ],
)
def test_what_cannot_be_is_refused_by_name(people: People, rule: str, settings: dict[str, Any], field: str) -> None:
    answer = people.admin.send("PUT", f"/v1/rules/{rule}/override", {"settings": settings})
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert rule_of(people.viewer, rule)["overrides"] == []


def test_who_may_not_and_what_is_not_there(people: People) -> None:
    body = {"settings": {"limit_usd": "1"}}
    for client in (people.viewer, people.operator):
        assert client.send("PUT", "/v1/rules/session_cost/override", body).status_code == 403
        assert client.send("DELETE", "/v1/rules/session_cost/override").status_code == 403
    assert people.admin.send("PUT", "/v1/rules/nothing/override", body).status_code == 404
    assert people.viewer.get("/v1/rules/nothing").status_code == 404
    # The table that is no rule.
    assert people.admin.send("PUT", "/v1/rules/closing/override", body).status_code == 404
    people.admin.send("PUT", "/v1/rules/session_cost/override", body)
    assert rule_of(people.stranger, "session_cost")["overrides"] == []
    assert people.stranger.send("DELETE", "/v1/rules/session_cost/override").status_code == 404
    assert setting_of(people.viewer, "session_cost", "limit_usd") == ("1", "tenant")


def test_a_change_is_in_force_without_a_restart(people: People, stack: StackSettings, tmp_path: Path) -> None:
    settings = StitcherSettings(home=stack.home, port_base=stack.port_base, rules_file=tmp_path / "rules.toml")
    copy = tmp_path / "copy.json"

    def limit(rules: Rules) -> str:
        settings = rules.value.of_agent(people.tenant_id, "laptop")["session_cost"]
        assert isinstance(settings, SessionCostSettings)
        return str(settings.limit_usd)

    with RuleRowsReader(settings, copy) as reader:
        rules = Rules(settings, reader)
        assert limit(rules) == "20.00"
        people.admin.send("PUT", "/v1/rules/session_cost/override", {"settings": {"limit_usd": "1.25"}})
        wait_until(lambda: limit(rules), lambda it: it == "1.25", "the stitcher has it")
        # A row that this version cannot take is left out alone.
        with make_engine(stack).begin() as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO control.rule_settings (tenant_id, agent_id, rule, settings, updated_by) "
                    "VALUES (:t, '', 'of_the_future', '{\"x\": 1}', 'test')"
                ),
                {"t": people.tenant_id},
            )
        people.admin.send("PUT", "/v1/rules/session_cost/override", {"settings": {"limit_usd": "1.50"}})
        wait_until(lambda: limit(rules), lambda it: it == "1.50", "the others hold")
        people.admin.send("DELETE", "/v1/rules/session_cost/override")
        wait_until(lambda: limit(rules), lambda it: it == "20.00", "it is taken back")
        people.admin.send("PUT", "/v1/rules/session_cost/override", {"settings": {"limit_usd": "1.75"}})
        wait_until(lambda: limit(rules), lambda it: it == "1.75", "set again")
        wait_until(copy.read_text, lambda text: "1.75" in text, "and kept for a start")
    # A start while Postgres is away: the last known rows hold.
    nobody = StitcherSettings(
        home=tmp_path / "elsewhere", port_base=stack.port_base, rules_file=tmp_path / "rules.toml"
    )
    with RuleRowsReader(nobody, copy) as reader:
        assert limit(Rules(nobody, reader)) == "1.75"
    with make_engine(stack).begin() as connection:
        connection.execute(sa.text("DELETE FROM control.rule_settings WHERE rule = 'of_the_future'"))
