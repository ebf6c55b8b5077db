"""A consumer that finds nothing but unreadable records stops, and the topic waits for a person."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime.settings import StackSettings
from stream_jobs.contracts.topics import ALERTS, SPEND
from tests.integration.stream_jobs.harness import DEADLINE_S
from tests.integration.stream_jobs.installed import Installed
from tests.integration.stream_jobs.keeping import Keeping
from tests.integration.stream_jobs.notifying import Notifying

KINDS: tuple[tuple[type[Installed], str, str], ...] = (
    (Keeping, SPEND.name, "CLAWTRACE_BUDGETS_MAX_CONSECUTIVE_DEAD"),
    (Notifying, ALERTS.name, "CLAWTRACE_NOTIFY_MAX_CONSECUTIVE_DEAD"),
)


@pytest.fixture(params=KINDS, ids=["budgets", "notifier"])
def consumer(
    request: pytest.FixtureRequest, stack: StackSettings, tmp_path: Path
) -> Iterator[tuple[Installed, str, str]]:
    """One kind of process with topics and a database of its own; the topic it reads, and its setting."""
    kind, topic, setting = request.param
    one = kind(stack, tmp_path / "home")
    try:
        yield one, topic, setting
    finally:
        one.remove()


def test_too_many_in_a_row_stop_it(consumer: tuple[Installed, str, str]) -> None:
    one, topic, setting = consumer
    one.environment[setting] = "5"
    for _ in range(6):
        one.put(topic, 0, b"{")
    one.flush()
    assert one.start().wait(DEADLINE_S) == 1
    assert "6 records of" in one.log()
    # Started again it stops again: nothing was passed over.
    assert one.start().wait(DEADLINE_S) == 1
