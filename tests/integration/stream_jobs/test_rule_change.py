"""A rule that a tenant sets while the stitcher runs: the running process judges the next event by it."""

import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pytest

from infra.runtime.database import make_engine
from infra.runtime.settings import StackSettings
from producers.contracts.event import EventBatch, encode_event_batch, record_key
from stream_jobs.admin import remove_rule, set_rule
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.topics import ALERTS
from tests.integration.stream_jobs.harness import Install, wait_until
from tests.integration.stream_jobs.test_real_core import CONFIG, batches

SCENARIO, RULE, PARTITION = "multi-tool", "session_cost", 0


class Stitching:
    """A stitcher that really runs, with the stack's Postgres, and one tenant's part in it."""

    def __init__(self, one: Install, stack: StackSettings) -> None:
        self.tenant_id = f"rules{uuid.uuid4().hex[:8]}"
        self._one, self._engine = one, make_engine(stack)

    def send(self, parts: list[EventBatch]) -> None:
        """Send batches, and wait until the stitcher is done with them."""
        for part in parts:
            mine = msgspec.structs.replace(part, tenant_id=self.tenant_id)
            self._one.produce(PARTITION, encode_event_batch(mine), record_key(self.tenant_id, part.agent_id))
        self._one.flush()
        self._one.wait_all_committed()

    def change(self, settings: Mapping[str, Any] | None) -> None:
        """Set the rule, or take it back, and wait until the process says that it has read so."""
        if settings is None:
            assert remove_rule(self._engine, self.tenant_id, None, RULE, also=lambda _: None)
        else:
            set_rule(self._engine, self.tenant_id, None, RULE, settings, who="test", also=lambda _: None)
        # Written when the rows are in force.
        copy = self._one.home / "stitcher" / "rule-settings.json"
        wait_until(
            lambda: copy.exists() and (self.tenant_id in copy.read_text()) == (settings is not None),
            "the process has read it",
            log=self._one.log_tail,
        )

    def alerts(self) -> list[tuple[str, int, str]]:
        """Alerts of the rule: agent, offset of the record that led to it, state."""
        found = []
        for out in self._one.read(self._one.prefix + ALERTS.name):
            assert out.value is not None
            batch = msgspec.json.decode(out.value, type=AlertBatch)
            found += [(it.agent_id, batch.rev, it.state) for it in batch.alerts if it.rule == RULE]
        return found


@pytest.fixture
def stitching(install: Callable[[str], Install], stack: StackSettings) -> Iterator[Stitching]:
    topics = install("rules")
    one = topics.another("worker", CLAWTRACE_POSTGRES_DSN=stack.database_url())
    one.command = [sys.executable, "-m", "api.cli", "stitcher", "run"]
    (one.home / "config").mkdir(parents=True)
    shutil.copy(CONFIG / "prices.toml", one.home / "config" / "prices.toml")
    one.start()
    one.wait_ready()
    yield Stitching(one, stack)
    assert one.stop() == 0


def test_the_next_event_is_judged_by_the_new_setting(stitching: Stitching) -> None:
    parts = batches(SCENARIO)
    with_calls = [number for number, part in enumerate(parts) if "model_call_ended" in {it.hook for it in part.events}]
    begun = with_calls[0] + 1
    stitching.send(parts[:begun])
    assert stitching.alerts() == []
    stitching.change({"limit_usd": "0.000001"})
    # Nothing is judged anew by itself.
    assert stitching.alerts() == []
    stitching.send(parts[begun:])
    assert stitching.alerts() == [(SCENARIO, with_calls[1], "alert")]
    # Taken back, the next agent spends the same and is left alone.
    stitching.change(None)
    stitching.send([msgspec.structs.replace(part, agent_id="another") for part in parts])
    assert {agent for agent, _, _ in stitching.alerts()} == {SCENARIO}
