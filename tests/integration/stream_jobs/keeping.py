"""A keeper of budgets with topics and a database of its own, that can be killed, and all that came out of it."""

import subprocess
import time
from collections import defaultdict
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli import app
from producers.contracts.guard import GuardMessage, decode_guard_message
from producers.contracts.topics import GUARD
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.spend import Spend, SpendBatch
from stream_jobs.contracts.topics import BUDGET_ALERTS, SPEND
from stream_jobs.processors.due import first_part_of
from stream_jobs.settings import BudgetsSettings
from tests.integration.stream_jobs.harness import DEADLINE_S, wait_until
from tests.integration.stream_jobs.installed import Installed

TENANT = "budgettest"


class Keeping(Installed):
    """Topics under a prefix, a database, and keepers as processes."""

    process_name = "budgets"
    specs = (SPEND, SPEND.dead_letter, GUARD, BUDGET_ALERTS)
    own_environment: ClassVar[dict[str, str]] = {
        "CLAWTRACE_BUDGETS_LOOK_SECONDS": "0.1",
        "CLAWTRACE_BUDGETS_STANDBY_SECONDS": "0.1",
    }

    def __post_init__(self) -> None:
        """Make topics and database."""
        super().__post_init__()
        # What was sent, by agent: the ledger that counters must agree with.
        self.ledger: dict[str, Decimal] = defaultdict(Decimal)

    def settings(self) -> BudgetsSettings:
        """Settings of a keeper, for use inside the test's own process."""
        values: dict[str, Any] = {
            name.removeprefix("CLAWTRACE_").lower(): value for name, value in self.environment.items()
        }
        return BudgetsSettings(**values)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in this process: no interpreter has to start, and what nobody caught fails the test."""
        done = CliRunner().invoke(app, arguments, env=self.environment, catch_exceptions=False)
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)

    def spend(self, agent_id: str, usd: str, *, partition: int = 0, at_us: int | None = None) -> None:
        """Put one spend into the topic, as the stitcher does."""
        now_us = time.time_ns() // 1000
        rev = self.next_rev(SPEND.name, partition)
        one = Spend(
            trace_id="t1",
            span_id=f"s{partition}-{rev}",
            run_id="r1",
            session_key="agent:main:main",
            openclaw_agent_id="main",
            at_us=now_us if at_us is None else at_us,
            cost_usd=Decimal(usd),
            num_tokens=100,
        )
        # Every other one as a tick leads to it: its parts are numbered far above 32 bits.
        part = first_part_of(f"{TENANT}|{agent_id}".encode()) if rev % 2 else 0
        batch = SpendBatch(tenant_id=TENANT, agent_id=agent_id, rev=rev, part=part, received_at_us=now_us, spends=[one])
        self.ledger[agent_id] += Decimal(usd)
        self.send(SPEND.name, partition, batch)

    def counted(self) -> dict[str, Decimal]:
        """What Postgres says was spent, by agent."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.text("SELECT agent_id, sum(cost_usd) FROM control.spend_buckets GROUP BY agent_id")
            )
            return {row[0]: row[1] for row in rows}

    def wait_counted(self, within_s: float = DEADLINE_S) -> None:
        """Wait until all that was sent is counted and all that is to be told is sent."""
        self.flush()
        wait_until(lambda: self.counted() == dict(self.ledger), "all is counted", within_s, self.log)
        wait_until(lambda: self.num_unsent() == 0, "all is told", within_s, self.log)

    def num_unsent(self) -> int:
        """Records that wait to be sent."""
        return self.count("SELECT count(*) FROM control.budget_outbox WHERE sent_at IS NULL")

    def alerts(self) -> list[Alert]:
        """Alerts as readers take them."""
        return [alert for batch in self.batches(BUDGET_ALERTS.name, AlertBatch) for alert in batch.alerts]

    def told(self) -> list[GuardMessage]:
        """What guards were told, partition by partition, repetitions included."""
        return [decode_guard_message(value) for _, value in self._read(GUARD.name)]

    def dead_letters(self) -> list[bytes]:
        """Spend records that nobody could read."""
        return [value for _, value in self._read(SPEND.dead_letter.name)]
