"""Policies that can be, and how a state looks on the wire."""

from decimal import Decimal

import msgspec
import pytest

from producers.contracts.guard import GuardPolicy, GuardPrice, GuardState, InvalidPolicy, check_policy


@pytest.mark.parametrize("limit", ["0.000001", "0.05", "1E+3", "999999999.99", None])
def test_amounts_that_can_be(limit: str | None) -> None:
    check_policy(GuardPolicy(run_limit_usd=None if limit is None else Decimal(limit)))


@pytest.mark.parametrize("limit", ["0", "-1", "0.0000001", "1000000000", "NaN", "Infinity", "sNaN"])
@pytest.mark.parametrize("name", ["run_limit_usd", "session_limit_usd", "agent_day_limit_usd"])
def test_amounts_that_cannot_be_are_named(name: str, limit: str) -> None:
    with pytest.raises(InvalidPolicy, match=name):
        check_policy(msgspec.structs.replace(GuardPolicy(), **{name: Decimal(limit)}))


def test_dollars_are_decimal_text_and_missing_limits_are_null() -> None:
    price = GuardPrice(provider="p", model="m", input_usd_per_mtok=Decimal("0.30"), output_usd_per_mtok=Decimal(15))
    policy = GuardPolicy(run_limit_usd=Decimal("0.05"))
    state = GuardState(rev=3, policy=policy, prices=[price], allowances=[], verdicts=[])
    sent = msgspec.json.decode(msgspec.json.encode(state))
    assert sent["policy"] == {
        "posture": "last",
        "action": "abort",
        "run_limit_usd": "0.05",
        "session_limit_usd": None,
        "agent_day_limit_usd": None,
    }
    assert sent["prices"][0]["input_usd_per_mtok"] == "0.30"
    # A list of some hundred models goes over the wire: what is not named is left out.
    assert set(sent["prices"][0]) == {"provider", "model", "input_usd_per_mtok", "output_usd_per_mtok"}
