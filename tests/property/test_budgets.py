"""Whatever the order, number and lateness of spends: counters are right, and agents stop in time."""

import random
from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from producers.contracts.guard import Allowance, Verdict
from stream_jobs.contracts.spend import Spend
from stream_jobs.core.budgets.windows import DAY_US
from tests.unit.stream_jobs.budgets.making import NOW_US, S_US, Guard, Kept, budget, spend

bounded = settings(max_examples=60, deadline=None)
AGENTS = ("laptop", "office", "server")


@bounded
@given(seed=st.integers(0, 2**32), num_spends=st.integers(1, 60), num_cuts=st.integers(0, 10))
def test_order_and_cuts_change_nothing_of_what_is_counted(seed: int, num_spends: int, num_cuts: int) -> None:
    chooser = random.Random(seed)
    spends = [
        (chooser.choice(AGENTS), spend(str(chooser.randrange(-50, 200) / 100), NOW_US - chooser.randrange(2 * DAY_US)))
        for _ in range(num_spends)
    ]
    at_once, in_pieces = Kept(budget("10")), Kept(budget("10"))
    at_once.settle(*spends)
    chooser.shuffle(spends)
    places = sorted(chooser.randrange(num_spends + 1) for _ in range(num_cuts))
    for start, end in zip([0, *places], [*places, num_spends], strict=True):
        in_pieces.settle(*spends[start:end])
    assert at_once.state.buckets == in_pieces.state.buckets
    today = sum((it.cost_usd for _, it in spends if it.at_us >= NOW_US - NOW_US % DAY_US), Decimal(0))
    assert at_once.state.spent() == today
    # How often a threshold is passed depends on the order; where it ends does not, but for what is just below one.
    assert at_once.told[0].wake_at_us > NOW_US


@dataclass
class Install:
    """An install with parallel workers: its guard, and what is on its way to it and from it."""

    guard: Guard = field(default_factory=Guard)
    # (when it arrives, what); one channel keeps its order.
    to_guard: list[tuple[int, Verdict | Allowance]] = field(default_factory=list)
    to_keeper: list[tuple[int, Spend]] = field(default_factory=list)
    busy_until_us: list[int] = field(default_factory=list)
    costs: list[Decimal] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    not_covered: Decimal = Decimal(0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    num_installs=st.integers(1, 4),
    num_workers=st.integers(1, 6),
    longest_way_ms=st.integers(1, 6_000),
    dear=st.sampled_from(["0.02", "0.2", "1.5"]),
)
def test_agents_never_spend_more_than_the_limit_and_a_call_each(
    seed: int, num_installs: int, num_workers: int, longest_way_ms: int, dear: str
) -> None:
    chooser = random.Random(seed)
    kept = Kept(budget("10"))
    installs = {f"agent{number}": Install(busy_until_us=[0] * num_workers) for number in range(num_installs)}
    for one in installs.values():
        one.costs = [Decimal(0)] * num_workers
    now_us = NOW_US
    arrives_us = dict.fromkeys(installs, 0)

    def keeper(*charges: tuple[str, Spend]) -> None:
        before = kept.state
        for agent_id, body in kept.settle(*charges, now_us=now_us, agents=tuple(installs)).messages:
            # What is said to one agent arrives in its order.
            arrives_us[agent_id] = max(arrives_us[agent_id], now_us + chooser.randrange(longest_way_ms) * 1_000)
            installs[agent_id].to_guard.append((arrives_us[agent_id], body))
        after = kept.state
        assert after.outstanding() <= max(before.outstanding(), 10 - after.spent()), "granted what others hold"

    for _ in range(1_500):
        now_us += 200_000
        for agent_id, one in installs.items():
            for _, body in [it for it in one.to_guard if it[0] <= now_us]:
                one.guard.hear(body, now_us)
            one.to_guard = [it for it in one.to_guard if it[0] > now_us]
            for worker in range(num_workers):
                ends_us = one.busy_until_us[worker]
                if ends_us and ends_us <= now_us:
                    cost = one.costs[worker]
                    one.spent += cost
                    one.not_covered += Decimal(0) if one.guard.draw(cost, now_us) else cost
                    sent = spend(str(cost), ends_us - S_US)
                    one.to_keeper.append((now_us + chooser.randrange(longest_way_ms) * 1_000, sent))
                    one.busy_until_us[worker] = 0
                if dear == "0.02" and kept.state.spent() < 8:
                    assert not one.guard.is_closed(now_us), "stopped although there is plenty"
                if not one.busy_until_us[worker] and not one.guard.is_closed(now_us) and chooser.random() < 0.5:
                    one.busy_until_us[worker] = now_us + chooser.randrange(500, 4_000) * 1_000
                    one.costs[worker] = (Decimal(dear) * chooser.randrange(20, 101) / 100).quantize(Decimal("0.0001"))
            heard = [it for at_us, it in one.to_keeper if at_us <= now_us]
            one.to_keeper = [it for it in one.to_keeper if it[0] > now_us]
            if heard:
                keeper(*((agent_id, it) for it in heard))
        if kept.told and kept.told[-1].wake_at_us <= now_us:
            keeper()
    spent = sum((one.spent for one in installs.values()), Decimal(0))
    # Calls made before the first lease arrived are covered by none; nobody could have stopped them.
    before_leases = sum((one.not_covered for one in installs.values()), Decimal(0))
    one_call_each = Decimal(dear) * num_workers * num_installs
    on_the_way = sum((it.cost_usd for one in installs.values() for _, it in one.to_keeper), Decimal(0))
    assert spent - before_leases <= 10 + one_call_each
    assert kept.state.spent() == spent - on_the_way
