"""Rules: whose limit holds."""

from decimal import Decimal

import pytest

from producers.contracts.usage import TokenUsage
from stream_jobs.contracts.alert import Alert
from stream_jobs.core.runaway import RuleBook, alert_run_cost

RULES = """
[run_cost]
limit_usd = "2"

[[override]]
tenant_id = "acme01"
run_cost.limit_usd = "0.05"

[[override]]
tenant_id = "acme01"
agent_id = "box-9"
run_cost.limit_usd = "7"
"""


@pytest.mark.parametrize(
    ("tenant_id", "agent_id", "limit_usd"),
    [("other1", "box-9", "2"), ("acme01", "box-1", "0.05"), ("acme01", "box-9", "7")],
)
def test_the_nearest_limit_holds(tenant_id: str, agent_id: str, limit_usd: str) -> None:
    assert RuleBook.from_toml(RULES).run_cost_limit_usd(tenant_id, agent_id) == Decimal(limit_usd)


def test_default_limit() -> None:
    assert RuleBook.from_toml("").run_cost_limit_usd("acme01", "box-1") == 5
    assert RuleBook().run_cost_limit_usd("acme01", "box-1") == 5


@pytest.mark.parametrize("text", ["[run_cost]\nlimit_usd = 0.5\n", '[run_cost]\nlimit_usd = "0"\n', "[run]\n"])
def test_bad_rules_are_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- pydantic's and tomllib's errors have no common text
        RuleBook.from_toml(text)


def make(run_id: str) -> Alert:
    return alert_run_cost(
        tenant_id="acme01",
        agent_id="box-1",
        trace_id="t",
        run_id=run_id,
        span_id="s",
        session_key="",
        model="fake/sim-1",
        cost_usd=Decimal("0.06"),
        limit_usd=Decimal("0.05"),
        num_model_calls=3,
        usage=TokenUsage(input_tokens=5),
        at_us=1,
        rev=2,
    )


def test_an_alert_is_named_by_what_it_is_about() -> None:
    assert make("one").alert_id == make("one").alert_id != make("two").alert_id
    assert len(make("one").alert_id) == 32
    assert make("one").labels == {"run_id": "one", "model": "fake/sim-1"}
