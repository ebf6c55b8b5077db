"""Whom to tell of what, how long to wait, and what is sealed."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_jobs.contracts.alert import AlertSeverity, AlertState
from stream_jobs.contracts.channel import ALL_STATES, SEVERITY_RANK, ChannelFilters
from stream_jobs.core.notify.backoff import is_passing, is_taken, wait_s
from stream_jobs.core.notify.plan import OpenAlert, again, group_key_of, next_step
from stream_jobs.notify.sealing import open_target, seal_target
from stream_jobs.notify.vault import Vault, VaultClosed
from tests.unit.stream_jobs.notify.making import AT_US, alert, target

SEVERITIES: tuple[AlertSeverity, ...] = ("info", "warning", "critical")
steps = st.lists(st.tuples(st.sampled_from(ALL_STATES), st.sampled_from(SEVERITIES)), max_size=12)


@given(
    steps,
    st.sampled_from(SEVERITIES),
    st.sets(st.sampled_from(ALL_STATES), min_size=1).filter(lambda states: states != {"ok"}),
)
def test_a_recovery_is_told_when_and_only_when_the_alert_was(
    changes: list[tuple[AlertState, AlertSeverity]], least: AlertSeverity, states: set[AlertState]
) -> None:
    filters = ChannelFilters(min_severity=least, states=tuple(sorted(states)))
    opened: OpenAlert | None = None
    is_heard = False
    for rev, (state, severity) in enumerate(changes, start=1):
        told, opened = next_step(filters, alert(state=state, severity=severity, rev=rev), opened)
        if told is not None:
            assert state in states
            assert is_heard or (state != "ok" and SEVERITY_RANK[severity] >= SEVERITY_RANK[least])
        if is_heard and state in states:
            assert told is not None, "who has heard of it hears how it goes on"
        is_heard = (is_heard or told is not None) and state != "ok"
        assert (opened is not None) == is_heard


def test_a_recovery_keeps_what_identified_the_alert() -> None:
    _, opened = next_step(ChannelFilters(), alert(severity="critical", rev=1), None)
    told, rest = next_step(ChannelFilters(), alert(state="ok", severity="info", rev=9), opened)
    assert told is not None
    assert (told.severity, told.started_at_us, rest) == ("critical", AT_US + 1_000_000, None)
    assert opened is not None
    assert again(opened).told_as == "repeat"


def test_what_comes_in_one_message() -> None:
    one = alert(1, labels={"run_id": "r1"})
    assert group_key_of(one, is_grouped=True) == group_key_of(alert(2, labels={"run_id": "r1"}), is_grouped=True)
    assert group_key_of(one, is_grouped=True) != group_key_of(alert(1, labels={"run_id": "r2"}), is_grouped=True)
    assert group_key_of(one, is_grouped=True) != group_key_of(
        alert(1, labels={"run_id": "r1"}, agent_id="office"), is_grouped=True
    )
    assert group_key_of(one, is_grouped=False) != group_key_of(alert(2, labels={"run_id": "r1"}), is_grouped=False)
    assert group_key_of(alert(1, labels={}), is_grouped=True).endswith("bef2bd3ea2e7cce000b1495c74e2a107")


@given(st.integers(1, 10_000), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 10**7)))
def test_waits_grow_and_are_bounded(num_tries: int, chance: float, asked_s: float | None) -> None:
    waited_s = wait_s(num_tries, 5, chance, asked_s)
    assert 5 * 0.75 <= waited_s <= 3_600 * 1.25
    assert wait_s(num_tries + 1, 5, chance) >= wait_s(num_tries, 5, chance)
    assert waited_s >= min(asked_s or 0, 3_600)


def test_which_answers_are_worth_another_try() -> None:
    assert [status for status in (200, 202, 204, 301, 400, 404, 500) if is_taken(status)] == [200, 202, 204]
    assert [status for status in (302, 400, 401, 404, 408, 410, 425, 429, 500, 503) if is_passing(status)] == [
        408, 425, 429, 500, 503,
    ]  # fmt: skip


def test_what_is_sealed_opens_with_its_key_and_for_its_channel_only(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets/notify-key")
    one = target("slack", url="https://hooks.slack.com/services/very-secret")
    with pytest.raises(VaultClosed, match="cannot be read"):
        seal_target(vault, one, "c1")
    vault.ensure_key()
    key_file = tmp_path / "secrets/notify-key"
    key = key_file.read_bytes()
    vault.ensure_key()
    assert key_file.read_bytes() == key
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.parent.stat().st_mode) == 0o700
    assert [it.name for it in key_file.parent.iterdir()] == ["notify-key"]
    sealed = seal_target(vault, one, "c1")
    assert b"very-secret" not in sealed
    assert sealed != seal_target(vault, one, "c1")
    assert open_target(vault, sealed, "c1") == one
    for changed, channel_id in ((sealed, "c2"), (sealed[:-1] + b"x", "c1"), (b"", "c1"), (sealed[:12], "c1")):
        with pytest.raises(VaultClosed, match="another key"):
            open_target(vault, changed, channel_id)
    key_file.write_text("too short")
    with pytest.raises(VaultClosed):
        open_target(vault, sealed, "c1")
