"""Words to guards and alerts about budgets become rows, from whichever writer, once."""

from decimal import Decimal

import msgspec

from producers.contracts.guard import Allowance, GuardMessage, Verdict
from producers.contracts.topics import GUARD
from stream_jobs.contracts.score import ScoreBatch
from stream_jobs.contracts.topics import ALERTS, BUDGET_ALERTS, LEARN_ALERTS, SCORES
from tests.contract.generate import contract_folder
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make


def message(verdict_id: str, rev: int, *, is_over: bool = False) -> bytes:
    body = Verdict(
        verdict_id=verdict_id,
        scope="agent",
        scope_id=make.AGENT,
        action="abort",
        reason="The day budget is used up.",
        expires_at_us=make.AT_US if is_over else make.AT_US + 60_000_000,
    )
    return make.encode(
        GuardMessage(tenant_id=make.TENANT, agent_id=make.AGENT, rev=rev, issued_at_us=make.AT_US, body=body)
    )


def test_verdicts_of_all_writers_are_rows_and_allowances_are_none(lake: Lake) -> None:
    lease = Allowance(
        allowance_id="budget-b-1",
        scope="agent",
        scope_id=make.AGENT,
        granted_usd=Decimal("0.4"),
        window="day",
        expires_at_us=make.AT_US + 60_000_000,
    )
    allowance = GuardMessage(tenant_id=make.TENANT, agent_id=make.AGENT, rev=1, issued_at_us=make.AT_US, body=lease)
    lake.produce(GUARD.name, make.encode(allowance))
    # A rule's number is an offset, a budget's the number of a transaction: the smaller one is not old.
    for verdict_id, rev in (("rule", 90_000), ("budget-b-2", 7)):
        lake.produce(GUARD.name, message(verdict_id, rev))
    lake.produce(GUARD.name, message("budget-b-2", 8, is_over=True))
    lake.flush()
    lake.start_sink()
    wait_until(lambda: lake.num_rows("verdicts") == 3, "three rows")
    rows = sorted(lake.rows("verdicts").to_pylist(), key=lambda row: (row["verdict_id"], row["rev"]))
    assert [(row["verdict_id"], row["rev"]) for row in rows] == [("budget-b-2", 7), ("budget-b-2", 8), ("rule", 90_000)]
    assert rows[1]["expires_at"] == rows[1]["issued_at"], "taken back when it was said"
    assert {(row["tenant_id"], row["agent_id"], row["action"]) for row in rows} == {(make.TENANT, make.AGENT, "abort")}


def test_alerts_of_rules_budgets_and_the_learner_have_marks_of_their_own(lake: Lake) -> None:
    lake.produce(ALERTS.name, make.encode(make.alert_batch(90_000)))
    for rev in (5, 6, 5, 6, 7):
        lake.produce(BUDGET_ALERTS.name, make.encode(make.alert_batch(rev)))
    for rev in (2, 3, 2):
        lake.produce(LEARN_ALERTS.name, make.encode(make.alert_batch(rev)))
    lake.flush()
    lake.start_sink()
    wait_until(lambda: lake.num_rows("alerts") == 6, "one alert of a rule, three of budgets, two of the learner")
    assert sorted(lake.rows("alerts").column("rev").to_pylist()) == [2, 3, 5, 6, 7, 90_000]


def test_scores_of_rules_models_and_people_are_rows_each_revision_once(lake: Lake) -> None:
    example = (contract_folder("stream_jobs") / "examples" / f"{SCORES.name}.three-voices.json").read_bytes()
    batch = msgspec.json.decode(example, type=ScoreBatch)
    replaced = [msgspec.structs.replace(it, rev=batch.rev + 1, value=0.25) for it in batch.scores[2:]]
    later = msgspec.structs.replace(batch, rev=batch.rev + 1, scores=replaced)
    for sent in (batch, batch, later, later):
        lake.produce(SCORES.name, make.encode(sent))
    lake.flush()
    lake.start_sink()
    wait_until(lambda: lake.num_rows("scores") == 4, "three scores, one of them twice")
    rows = sorted(lake.rows("scores").to_pylist(), key=lambda row: (row["rev"], row["score_id"]))
    assert [(row["source"], row["value"], row["weight"]) for row in rows] == [
        ("rule", 1.0, 2.0),
        ("model", 0.5, 1.0),
        ("human", None, 1.0),
        ("human", 0.25, 1.0),
    ]
    assert rows[2]["score_id"] == rows[3]["score_id"]
