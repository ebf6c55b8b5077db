"""Prices over the API: lists, a tenant's own prices in a price file of the test's, and history priced again."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.runtime.access_keys import create_key, read_pepper
from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from tests.captures import hook_lines
from tests.integration.api.conftest import Client, People, api_settings, people_of, served
from tests.integration.doors import Doors, spool_id_of, wait_until, wire_batch

FOR_ALL = """# Ours.
[[price]]
provider = "acme"
model = "big"
input_usd_per_mtok = "4"
output_usd_per_mtok = "8"

[[price]]
provider = "acme"
model = "hidden"
tenant_id = "someoneelse"
input_usd_per_mtok = "1"
output_usd_per_mtok = "2"
"""
OWN = {"provider": "acme", "model": "big", "input_usd_per_mtok": "0.30", "output_usd_per_mtok": "1.20"}
TIER = {"above_prompt_tokens": 200_000, "input_usd_per_mtok": "0.60", "output_usd_per_mtok": "1.80"}
AGENT = "laptop"


@pytest.fixture(scope="module")
def price_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prices") / "prices.toml"


@pytest.fixture(scope="module")
def price_api(stack: StackSettings, written_rules: None, price_file: Path) -> Iterator[httpx2.Client]:
    with ExitStack() as running:
        # Read at the start; other APIs of this session must not see it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLAWTRACE_PRICES_FILE", str(price_file))
            client = running.enter_context(served(api_settings(stack)))
        yield client


@pytest.fixture
def crew(price_api: httpx2.Client, price_file: Path, read_key: Callable[[str, str], str]) -> People:
    price_file.write_text(FOR_ALL)
    return people_of(price_api, read_key)


def lookup(client: Client, provider: str = "acme", model: str = "big", **parameters: Any) -> dict[str, Any]:
    answer = client.get("/v1/prices/lookup", provider=provider, model=model, **parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put(client: Client, **changes: Any) -> httpx2.Response:
    return client.send("PUT", "/v1/prices/overrides", {**OWN, **changes})


def overrides(client: Client) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/v1/prices/overrides").json()["items"]
    return items


def test_published_prices_are_listed_and_found(crew: People) -> None:
    found = crew.viewer.get("/v1/prices", limit=5_000).json()
    assert found["num_found"] == len(found["items"]) > 1_000
    claude = crew.viewer.get("/v1/prices", provider="anthropic", model="SONNET").json()["items"]
    assert claude
    assert all("sonnet" in it["model"].lower() and it["provider"] == "anthropic" for it in claude)
    cut = crew.viewer.get("/v1/prices", limit=2).json()
    assert (len(cut["items"]), cut["num_found"]) == (2, found["num_found"])
    mine = crew.viewer.get("/v1/prices", overrides=True).json()["items"]
    assert [(it["provider"], it["model"], it["input"], it["is_override"]) for it in mine] == [
        ("acme", "big", "4", True)
    ]
    one = lookup(crew.viewer, "anthropic", "claude-sonnet-4-5")
    assert one["tiers"]
    assert Decimal(one["cache_write_1h"]) == 2 * Decimal(one["input"])
    assert crew.viewer.get("/v1/prices/lookup", provider="acme", model="hidden").status_code == 404


def test_a_tenants_own_price_holds_for_it_alone(crew: People, price_file: Path) -> None:
    written = put(crew.admin, source="the contract")
    assert written.status_code == 200, written.text
    assert (written.json()["is_own"], written.json()["input_usd_per_mtok"]) == (True, "0.30")
    assert lookup(crew.viewer)["input"] == "0.3"
    assert lookup(crew.stranger)["input"] == "4"
    later = datetime.now(UTC).date() + timedelta(days=30)
    assert put(crew.admin, input_usd_per_mtok="0.40", effective_from=later.isoformat()).status_code == 200
    assert lookup(crew.viewer)["input"] == "0.3"
    assert lookup(crew.viewer, at=f"{later}T12:00:00Z")["input"] == "0.4"
    assert [(it["model"], it["is_own"]) for it in overrides(crew.viewer)] == [
        ("big", False),
        ("big", True),
        ("big", True),
    ]
    assert [it["is_own"] for it in overrides(crew.stranger)] == [False]
    assert price_file.read_text().startswith(FOR_ALL.rstrip())

    named = {"provider": "acme", "model": "big"}
    assert crew.admin.send("DELETE", "/v1/prices/overrides", **named).status_code == 204
    assert lookup(crew.viewer)["input"] == "4"
    assert crew.admin.send("DELETE", "/v1/prices/overrides", **named).status_code == 404
    # Neither that of all, nor another's.
    assert crew.stranger.send("DELETE", "/v1/prices/overrides", **named).status_code == 404
    gone = crew.admin.send("DELETE", "/v1/prices/overrides", **named, effective_from=later.isoformat())
    assert gone.status_code == 204
    assert price_file.read_text().rstrip() == FOR_ALL.rstrip()
    assert (len(crew.audited("price.set")), len(crew.audited("price.remove"))) == (2, 2)


def test_a_price_has_tiers_and_an_hours_writes(crew: People, price_file: Path) -> None:
    tier = {**TIER, "cache_write_usd_per_mtok": "0.75", "cache_write_1h_usd_per_mtok": "1.20"}
    rates = {"cache_write_usd_per_mtok": "0.375", "cache_write_1h_usd_per_mtok": "0.60"}
    written = put(crew.admin, **rates, tiers=[tier])
    assert written.status_code == 200, written.text
    assert written.json()["tiers"] == [{**tier, "cache_read_usd_per_mtok": None}]
    assert [it["tiers"] for it in overrides(crew.viewer)] == [[], written.json()["tiers"]]
    found = lookup(crew.viewer)
    assert (found["cache_write"], found["cache_write_1h"]) == ("0.375", "0.6")
    assert found["tiers"] == [
        {"above_prompt_tokens": 200_000, "input": "0.6", "output": "1.8", "cache_read": "0.6", "cache_write": "0.75",
         "cache_write_1h": "1.2"}
    ]  # fmt: skip
    (entry,) = crew.audited("price.set")
    assert entry["details"]["tiers"][0]["above_prompt_tokens"] == 200_000
    # A client that knows nothing of tiers takes none away.
    kept = put(crew.admin)
    assert (kept.status_code, [it["field"] for it in kept.json()["errors"]]) == (422, ["body.tiers"])
    tried = crew.operator.send("POST", "/v1/prices/overrides/check", {**OWN, "tiers": [TIER]}).json()
    assert [it["input"] for it in tried["after"]["tiers"]] == ["0.6"]
    without = put(crew.admin, tiers=[])
    assert (without.status_code, without.json()["tiers"], lookup(crew.viewer)["tiers"]) == (200, [], [])
    assert crew.admin.send("DELETE", "/v1/prices/overrides", provider="acme", model="big").status_code == 204
    assert price_file.read_text().rstrip() == FOR_ALL.rstrip()


def test_a_price_is_tried_without_being_written(crew: People, price_file: Path) -> None:
    before = price_file.read_text()
    tried = crew.operator.send("POST", "/v1/prices/overrides/check", OWN)
    assert tried.status_code == 200, tried.text
    found = tried.json()
    assert (found["is_new"], found["before"]["input"], found["after"]["input"]) == (True, "4", "0.3")
    assert price_file.read_text() == before
    put(crew.admin)
    again = crew.operator.send("POST", "/v1/prices/overrides/check", {**OWN, "input_usd_per_mtok": "1"}).json()
    assert (again["is_new"], again["before"]["input"], again["after"]["input"]) == (False, "0.3", "1")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"input_usd_per_mtok": "cheap"}, "body.input_usd_per_mtok"),
        ({"input_usd_per_mtok": "-1"}, "body.input_usd_per_mtok"),
        ({"input_usd_per_mtok": 0.3}, "body.input_usd_per_mtok"),
        ({"output_usd_per_mtok": "NaN"}, "body.output_usd_per_mtok"),
        ({"model": ""}, "body.model"),
        ({"effective_from": "2026-02-02", "effective_until": "2026-02-01"}, "body.effective_until"),
        ({"effective_from": "soon"}, "body.effective_from"),
        ({"tenant_id": "someoneelse"}, "body.tenant_id"),
        ({"tiers": [{**TIER, "above_prompt_tokens": 0}]}, "body.tiers.0.above_prompt_tokens"),
        ({"tiers": [TIER, {**TIER, "output_usd_per_mtok": "x"}]}, "body.tiers.1.output_usd_per_mtok"),
        ({"tiers": [TIER, TIER]}, "body.tiers"),
        ({"tiers": [{**TIER, "cache_read_usd_per_mtok": "0.1"}]}, "body.tiers"),
        ({"tiers": [{**TIER, "what": "1"}]}, "body.tiers.0.what"),
    ],
)
def test_a_price_that_cannot_be_is_refused_by_name(
    crew: People, price_file: Path, changes: dict[str, Any], field: str
) -> None:
    before = price_file.read_text()
    for path, method in (("/v1/prices/overrides", "PUT"), ("/v1/prices/overrides/check", "POST")):
        answer = crew.admin.send(method, path, {**OWN, **changes})
        assert answer.status_code == 422
        assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert price_file.read_text() == before
    assert crew.audited("price.set") == []


def test_who_may_not_and_a_broken_file(crew: People, price_file: Path) -> None:
    for client in (crew.viewer, crew.operator):
        assert put(client).status_code == 403
        assert client.send("DELETE", "/v1/prices/overrides", provider="acme", model="big").status_code == 403
    assert crew.viewer.send("POST", "/v1/prices/overrides/check", OWN).status_code == 403
    price_file.write_text('[[price]]\nprovider = "someoneelses"\n')
    for answer in (put(crew.admin), crew.viewer.get("/v1/prices"), crew.viewer.get("/v1/prices/overrides")):
        assert answer.status_code == 503
        assert "someoneelses" not in answer.text
        assert str(price_file) not in answer.text
    assert crew.audited("price.set") == []


def job(client: Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/prices/reprices/{job_id}").json()
    return found


def finished(client: Client, started: httpx2.Response) -> dict[str, Any]:
    assert started.status_code == 202, started.text
    job_id = started.json()["job_id"]
    assert started.headers["location"] == f"/v1/prices/reprices/{job_id}"
    return wait_until(lambda: job(client, job_id), lambda it: it["state"] != "running", "the job is done")


def test_history_is_priced_again_dry_and_then_for_good(people: People, doors: Doors, stack: StackSettings) -> None:
    """By the stack's own price file, which its stitcher follows."""
    engine, pepper = make_engine(stack), read_pepper(stack.key_pepper_file)
    key = create_key(engine, pepper, tenant_id=people.tenant_id, agent_id=AGENT, scope="ingest").key
    lines = hook_lines("multi-tool")
    shift_ms = int(time.time() * 1000) - lines[-1]["tsMs"]
    lines = [{**line, "tsMs": line["tsMs"] + shift_ms} for line in lines]
    assert doors.send(key, wire_batch(lines, spool_id_of(people.tenant_id))).status_code == 202

    def calls() -> list[list[Any]]:
        sql = """
            SELECT model, provider, price_id, cost_usd, input_tokens + cache_read_tokens + cache_write_tokens,
              output_tokens
            FROM spans
            WHERE kind = 'model_call' AND cost_usd IS NOT NULL ORDER BY started_at, span_id
        """
        rows: list[list[Any]] = people.viewer.sql(sql).json()["rows"]
        return rows

    num_calls = sum(line["hook"] == "model_call_ended" for line in lines)
    before = wait_until(calls, lambda rows: len(rows) == num_calls > 0, "the calls are in the tables")
    provider, model = before[0][1], before[0][0]
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    body = {"since": yesterday, "reason": "the contract says otherwise"}

    nothing = finished(people.operator, people.operator.send("POST", "/v1/prices/reprices", body))
    assert (nothing["state"], nothing["num_calls_changed"], nothing["error"]) == ("done", 0, "")
    assert nothing["num_calls_read"] == nothing["num_calls_total"] == len(before)

    named = {"provider": provider, "model": model}
    rates = {"input_usd_per_mtok": "100", "output_usd_per_mtok": "200"}
    prompts = sorted({row[4] for row in before if row[0] == model})
    # The shortest prompt costs that, the longer ones more.
    tier = {"above_prompt_tokens": prompts[0], "input_usd_per_mtok": "300", "output_usd_per_mtok": "700"}
    assert len(prompts) > 1
    assert put(people.admin, **named, **rates, tiers=[tier]).status_code == 200
    try:
        dry = finished(people.operator, people.operator.send("POST", "/v1/prices/reprices", body))
        assert (dry["kind"], dry["state"], dry["num_requests_sent"]) == ("dry_run", "done", 0)
        assert dry["num_calls_changed"] == sum(row[0] == model for row in before)
        assert Decimal(dry["now_usd"]) > Decimal(dry["was_usd"])
        assert dry["agents"] == [AGENT]
        assert calls() == before

        apply = f"/v1/prices/reprices/{dry['job_id']}/apply"
        assert people.operator.send("POST", apply).status_code == 403
        assert people.stranger.send("POST", apply).status_code == 404
        done = finished(people.admin, people.admin.send("POST", apply))
        assert (done["state"], done["num_requests_sent"], done["error"]) == ("done", 1, "")
        assert done["now_usd"] == dry["now_usd"]
        after = wait_until(
            calls,
            lambda rows: not {row[2] for row in rows if row[0] == model} & {row[2] for row in before},
            "the tables have the new price",
        )
        for _, _, _, cost_usd, prompt, output in (row for row in after if row[0] == model):
            wanted = (300 * prompt + 700 * output) if prompt > prompts[0] else (100 * prompt + 200 * output)
            assert Decimal(cost_usd) == Decimal(wanted) / 1_000_000
        total = sum(Decimal(row[3]) for row in after if row[0] == model)
        assert total == Decimal(done["now_usd"])
        # An apply is no dry run, and the key that it was done with opens nothing any more.
        assert people.admin.send("POST", f"/v1/prices/reprices/{done['job_id']}/apply").status_code == 409
        keys = people.admin.get("/v1/keys").json()["items"]
        assert [it["revoked_at"] is not None for it in keys if it["scope"] == "ingest"] == [True, False]
        left = finished(people.operator, people.operator.send("POST", "/v1/prices/reprices", body))
        assert left["num_calls_changed"] == 0
    finally:
        people.admin.send("DELETE", "/v1/prices/overrides", **named)
    jobs = people.viewer.get("/v1/prices/reprices").json()["items"]
    assert [it["kind"] for it in jobs] == ["dry_run", "apply", "dry_run", "dry_run"]
    assert people.stranger.get("/v1/prices/reprices").json()["items"] == []
    assert people.stranger.get(f"/v1/prices/reprices/{dry['job_id']}").status_code == 404
    assert len(people.audited("prices.reprice.apply")) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"since": "2026-02-02", "until": "2026-02-01"}, "body.since"),
        ({"since": "2020-01-01", "until": "2026-02-01"}, "body.since"),
        ({"until": "2026-02-01"}, "body.since"),
        ({"since": "2026-02-01", "agent_id": "No"}, "body.agent_id"),
    ],
)
def test_a_period_that_cannot_be_is_refused_by_name(people: People, body: dict[str, Any], field: str) -> None:
    answer = people.operator.send("POST", "/v1/prices/reprices", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
