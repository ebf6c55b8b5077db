"""A learner with topics and a database of its own, that can be killed, and all that came out of it."""

import time
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy as sa

from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.card import Card, CardBatch
from stream_jobs.contracts.score import Score, ScoreBatch
from stream_jobs.contracts.topics import CARDS, LEARN_ALERTS, SCORES
from tests.integration.stream_jobs.harness import DEADLINE_S, wait_until
from tests.integration.stream_jobs.installed import Installed

TENANT = "learntest"
RUBRIC = """
name = "coder"

[[criterion]]
name = "cheap"
kind = "cost_at_most"
usd = "0.5"
weight = 3

[[criterion]]
name = "ended"
kind = "ended"
"""


class Learning(Installed):
    """Topics under a prefix, a database, and learners as processes."""

    process_name = "learner"
    specs = (CARDS, LEARN_ALERTS, SCORES)
    own_environment: ClassVar[dict[str, str]] = {
        "CLAWTRACE_LEARNER_LOOK_SECONDS": "0.1",
        "CLAWTRACE_LEARNER_STANDBY_SECONDS": "0.1",
        "CLAWTRACE_LEARNER_MAX_CONSECUTIVE_DEAD": "5",
    }

    def __post_init__(self) -> None:
        """Make topics and database."""
        super().__post_init__()
        # Newest card of each trace: the ledger that the learner's memory must agree with.
        self.ledger: dict[str, Card] = {}
        self._started_at_us = time.time_ns() // 1000

    def write_rubric(self, agent_id: str, text: str = RUBRIC) -> None:
        """Put a rubric where the learner looks for it."""
        path = self.home / "config" / "rubrics" / TENANT / f"{agent_id}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def card(
        self, trace_id: str, usd: str | None, *, agent_id: str = "laptop", partition: int = 0, **more: Any
    ) -> Card:
        """Put one card into the topic, as the stitcher does; each begins a second after the one before."""
        rev = self.next_rev(CARDS.name, partition)
        self._started_at_us += 1_000_000
        known = self.ledger.get(trace_id)
        values: dict[str, Any] = {"task_id": "agent:main:cron:nightly", "status": "ok", "duration_ms": 1000, **more}
        card = Card(
            tenant_id=TENANT,
            agent_id=agent_id,
            trace_id=trace_id,
            trace_date="2026-11-23",
            total_cost_usd=None if usd is None else Decimal(usd),
            started_at_us=known.started_at_us if known is not None else self._started_at_us,
            rev=rev,
            **values,
        )
        self.ledger[trace_id] = card
        self.send(CARDS.name, partition, CardBatch(tenant_id=TENANT, agent_id=agent_id, rev=rev, cards=[card]))
        return card

    def age(self, days: int) -> None:
        """Let the next runs have begun so many days earlier."""
        self._started_at_us -= days * 86_400_000_000

    def learned(self) -> dict[str, tuple[int, Decimal | None]]:
        """What Postgres remembers: revision and cost by trace."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT trace_id, rev, cost_usd FROM control.learned_runs"))
            return {row.trace_id: (row.rev, row.cost_usd) for row in rows}

    def wait_learned(self) -> None:
        """Wait until all that was sent is learned and all that is to be told is sent."""
        self.flush()
        wanted = {trace_id: (card.rev, card.total_cost_usd) for trace_id, card in self.ledger.items()}
        wait_until(lambda: self.learned() == wanted, "all is learned", DEADLINE_S, self.log)
        wait_until(lambda: self.num_unsent() == 0, "all is told", DEADLINE_S, self.log)

    def num_unsent(self) -> int:
        """Records that wait to be sent."""
        return self.count("SELECT count(*) FROM control.learner_outbox WHERE sent_at IS NULL")

    def alerts(self) -> list[Alert]:
        """Alerts as readers take them."""
        return [alert for batch in self.batches(LEARN_ALERTS.name, AlertBatch) for alert in batch.alerts]

    def scores(self) -> list[Score]:
        """Scores as readers take them, every revision."""
        return [score for batch in self.batches(SCORES.name, ScoreBatch) for score in batch.scores]
