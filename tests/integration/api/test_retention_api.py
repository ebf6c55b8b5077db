"""How long rows stay, and what is erased: what people ask for, over real Postgres, Kafka and Trino."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from infra.runtime.settings import StackSettings
from lakehouse.contracts.retention import RETAINED_TABLES
from tests.integration.api.conftest import Client, People, api_settings, new_tenant_id, served
from tests.integration.api.live_topics import SPANS, OwnTopics, own_topics, spans_of, watching
from tests.integration.doors import wait_until

pytestmark = pytest.mark.usefixtures("nothing_is_erased")


def days_of(client: Client, table: str) -> tuple[int, int, bool]:
    """Days of a table, its default, and whether the tenant has set them."""
    answer = client.get("/v1/retention")
    assert answer.status_code == 200, answer.text
    (found,) = (it for it in answer.json()["tables"] if it["table"] == table)
    return found["days"], found["default_days"], found["is_own"]


def test_days_are_set_and_taken_back(people: People) -> None:
    listed = people.viewer.get("/v1/retention").json()
    assert [it["table"] for it in listed["tables"]] == list(RETAINED_TABLES)
    assert days_of(people.viewer, "events") == (30, 30, False)
    answer = people.admin.send("PUT", "/v1/retention/events", {"days": 7})
    assert answer.status_code == 200, answer.text
    assert answer.json()["is_own"] is True
    assert days_of(people.viewer, "events") == (7, 30, True)
    assert days_of(people.stranger, "events") == (30, 30, False)
    taken_back = people.admin.send("DELETE", "/v1/retention/events")
    assert (taken_back.status_code, taken_back.json()["days"]) == (200, 30)
    assert people.admin.send("DELETE", "/v1/retention/events").status_code == 200
    assert [(it["target"], it["details"]) for it in people.audited("retention.set")] == [("events", {"days": 7})]
    assert len(people.audited("retention.unset")) == 1


def test_rows_that_are_older_are_counted_when_asked(people: People) -> None:
    tables = people.viewer.get("/v1/retention").json()["tables"]
    assert {it["num_rows_older"] for it in tables} == {None}
    tables = people.viewer.get("/v1/retention", count=True).json()["tables"]
    assert {it["num_rows_older"] for it in tables} == {0}


@pytest.mark.parametrize("days", [0, 3_651, "7", 1.5, None])
def test_days_that_cannot_be_are_refused_by_name(people: People, days: Any) -> None:
    answer = people.admin.send("PUT", "/v1/retention/spans", {"days": days})
    assert answer.status_code == 422
    assert [it["field"] for it in answer.json()["errors"]] == ["body.days"]
    assert days_of(people.viewer, "spans") == (400, 400, False)


def test_only_an_admin_changes_anything(people: People) -> None:
    for client in (people.viewer, people.operator):
        assert client.send("PUT", "/v1/retention/spans", {"days": 9}).status_code == 403
        assert client.send("DELETE", "/v1/retention/spans").status_code == 403
        assert client.send("POST", "/v1/erasures", {"scope": "trace", "id": "t"}).status_code == 403
        assert client.get("/v1/erasures").status_code == 403
    assert people.admin.send("PUT", "/v1/retention/agents", {"days": 9}).status_code == 422


@pytest.fixture(scope="module")
def topics(stack: StackSettings) -> Iterator[OwnTopics]:
    """Topics that only these tests use."""
    with own_topics(stack) as made:
        yield made


@pytest.fixture(scope="module")
def live_api(stack: StackSettings, topics: OwnTopics) -> Iterator[httpx2.Client]:
    """An API over these topics."""
    with served(api_settings(stack, topic_prefix=topics.prefix)) as client:
        yield client


def test_an_erasure_is_a_job_of_the_tenant(people: People) -> None:
    body = {"scope": "trace", "id": "some-trace", "reason": "asked by a user"}
    answer = people.admin.send("POST", "/v1/erasures", body)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/v1/erasures/{job['erasure_id']}"
    assert (job["scope"], job["id"], job["agent_id"], job["reason"]) == ("trace", "some-trace", None, body["reason"])
    (listed,) = people.admin.get("/v1/erasures").json()["items"]
    assert listed["erasure_id"] == job["erasure_id"]
    assert people.admin.get(f"/v1/erasures/{job['erasure_id']}").status_code == 200
    assert people.stranger.get(f"/v1/erasures/{job['erasure_id']}").status_code == 404
    assert people.stranger.get("/v1/erasures").json()["items"] == []
    assert [it["details"]["id"] for it in people.audited("erasure.ask")] == ["some-trace"]


def test_what_cannot_be_erased_is_refused_by_name(people: People) -> None:
    refused = [
        ({"scope": "tenant", "id": "another0"}, "body.id"),
        ({"scope": "tenant", "id": people.tenant_id, "agent_id": "laptop"}, "body.agent_id"),
        ({"scope": "everything", "id": "x"}, "body.scope"),
        ({"scope": "trace", "id": ""}, "body.id"),
    ]
    for body, field in refused:
        answer = people.admin.send("POST", "/v1/erasures", body)
        assert answer.status_code == 422
        assert [it["field"] for it in answer.json()["errors"]] == [field]
    assert people.admin.get("/v1/erasures").json()["items"] == []


def test_the_live_window_refuses_what_was_erased(
    live_api: httpx2.Client, topics: OwnTopics, read_key: Callable[[str, str], str]
) -> None:
    tenant_id = new_tenant_id()
    admin = Client(live_api, read_key(tenant_id, "admin"))
    headers = {"Authorization": f"Bearer {admin.key}"}

    def status() -> int:
        with live_api.stream("GET", "/v1/live", headers=headers) as response:
            return response.status_code

    wait_until(status, lambda found: found == 200, "the live window is there", within_s=30)
    with watching(live_api.base_url, headers) as before:
        topics.send(SPANS, 0, spans_of(tenant_id, 1, "first", trace_id="kept"))
        wait_until(before.span_ids, lambda ids: ids == ["first"], "the first span", within_s=20)
        from_here = before.last_id
        topics.send(SPANS, 0, spans_of(tenant_id, 2, "canary", trace_id="erased"))
        wait_until(before.span_ids, lambda ids: ids == ["first", "canary"], "the canary", within_s=20)
    assert admin.send("POST", "/v1/erasures", {"scope": "trace", "id": "erased"}).status_code == 202
    # Late ones come as well.
    topics.send(SPANS, 0, spans_of(tenant_id, 3, "late-canary", trace_id="erased"))
    topics.send(SPANS, 0, spans_of(tenant_id, 4, "last", trace_id="kept"))
    with watching(live_api.base_url, headers | {"Last-Event-ID": from_here}) as after:
        wait_until(after.span_ids, lambda ids: "last" in ids, "what comes behind it", within_s=20)
    assert after.span_ids() == ["last"]
    assert "canary" not in after.text
