"""Keeps the budgets: takes spends up, settles, tells.

Upstream: the spend topic; people, through Postgres.
Downstream: Postgres, and ``sender`` for what is to be told.
Guarantee: one transaction holds how far the spends were read, what they came to, and the records to be sent; these are
sent after the commit and marked then. Killed anywhere, nothing is counted twice or lost, and what is sent again is what
was sent. Start anew after any exception: all truth is in Postgres.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection

from infra.runtime.guard_audit import GuardOrder, orders_after
from producers.contracts.event import DeadLetterStage, record_key
from producers.contracts.guard import GuardMessage, Verdict
from producers.contracts.topics import GUARD
from stream_jobs.batch_reader import BatchReader, Reading
from stream_jobs.budgets import ledger, metrics
from stream_jobs.budgets.ledger import StoredBudget
from stream_jobs.budgets.tables import marks, outbox
from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.spend import Spend, SpendBatch
from stream_jobs.contracts.topics import BUDGET_ALERTS, SPEND
from stream_jobs.core.budgets.settlement import Charge, Told, charge_of, release, settle
from stream_jobs.core.budgets.state import encode_state
from stream_jobs.log_source import LogSource, Record
from stream_jobs.outbox import MAX_UNSENT_ROWS, OutboxRow, batch_rows
from stream_jobs.outbox_sender import Sender
from stream_jobs.settings import BudgetsSettings

AGENTS_FRESH_S: Final = 30.0
DROP_OLD_EVERY_S: Final = 600.0
# Far below a record's size: an alert is about a kilobyte.
MAX_ALERTS_PER_RECORD: Final = 200
STAGE: Final[DeadLetterStage] = "budgets"

_decoder = msgspec.json.Decoder(SpendBatch)
_encoder = msgspec.json.Encoder()


class Keeper:
    """One stretch of work, from a look at Postgres until something forces another."""

    def __init__(
        self,
        settings: BudgetsSettings,
        connection: Connection,
        *,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._settings, self._connection, self._clock_us = settings, connection, clock_us
        prefix = settings.topic_prefix
        source = LogSource(
            settings.kafka_bootstrap,
            [prefix + SPEND.name],
            f"{prefix}clawtrace.budgets",
            on_lost=metrics.LOST_RECORDS.inc,
        )
        self._reader = BatchReader(
            source, marks, _decoder.decode, max_unreadable_in_a_row=settings.budgets_max_consecutive_dead
        )
        self._sender = Sender(settings.kafka_bootstrap, prefix)
        self._last_audit_id = 0
        self._agents: dict[str, list[str]] = {}
        self._agents_at_s = float("-inf")
        self._looks_at_s = 0.0
        self._dropped_old_at_s = time.monotonic()

    def open(self) -> None:
        """Find out where to go on, and send what was not sent.

        Raises:
            KafkaAway: try again later.
            NeedsPerson: a person must look.
        """
        with self._connection.begin():
            self._reader.find_place(self._connection)
            _, self._last_audit_id = ledger.lock(self._connection)
        self._sender.send_unsent(self._connection, outbox)
        self._reader.open()

    def step(self) -> None:
        """Wait a little for spends, take them up, do what is due."""
        reading = self._reader.read()
        now_us = self._clock_us()
        is_look_due = self._is_look_due(now_us)
        if not reading.after and not is_look_due:
            return
        started_s = time.monotonic()
        unsent = self._take_up(reading, now_us)
        metrics.TRANSACTION_SECONDS.observe(time.monotonic() - started_s)
        self._sender.send(unsent)
        ended_us = self._clock_us()
        for batch, _ in reading.batches:
            metrics.LATENCY_SECONDS.observe(max(ended_us - batch.received_at_us, 0) / 1e6)
        if unsent:
            with self._connection.begin():
                ledger.mark_sent(self._connection, unsent)
        if len(unsent) == MAX_UNSENT_ROWS:
            self._sender.send_unsent(self._connection, outbox)

    def close(self) -> None:
        """Let go of the broker."""
        self._reader.close()

    def _is_look_due(self, now_us: int) -> bool:
        now_s = time.monotonic()
        if now_s < self._looks_at_s:
            return False
        self._looks_at_s = now_s + self._settings.budgets_look_seconds
        metrics.LAG.set(self._reader.lag())
        with self._connection.begin():
            if now_s - self._dropped_old_at_s > DROP_OLD_EVERY_S:
                self._dropped_old_at_s = now_s
                ledger.drop_old(self._connection, now_us)
            return ledger.is_anything_due(self._connection, now_us, self._last_audit_id)

    def _take_up(self, reading: Reading[SpendBatch], now_us: int) -> list[OutboxRow]:
        """Do one transaction; return what is to be told."""
        batches = [batch for batch, _ in reading.batches]
        rows = [_dead_letter(record, reason) for record, reason in reading.unreadable]
        with self._connection.begin():
            rev, last_audit_id = ledger.lock(self._connection)
            orders = orders_after(self._connection, last_audit_id)
            charges = _charges(batches)
            ledger.count_spends(self._connection, [(tenant, it) for tenant, its in charges.items() for it in its])
            tenants = {*charges, *(order.tenant_id for order in orders)}
            rows += self._settle(tenants, charges, orders, now_us, rev + 1)
            ledger.put(self._connection, rows)
            self._reader.write(self._connection, reading)
            last_audit_id = orders[-1].id if orders else last_audit_id
            ledger.advance(self._connection, rev + 1 if rows else rev, last_audit_id)
            # Also what a command has written, and before what is newer: readers drop what comes out of order.
            unsent = ledger.unsent(self._connection)
        # Only now: after a failure in between all is read from Postgres again.
        self._reader.advance(reading)
        self._last_audit_id = last_audit_id
        metrics.RECORDS.labels("counted").inc(len(batches))
        metrics.RECORDS.labels("duplicate").inc(reading.num_repeated)
        metrics.RECORDS.labels("dead_letter").inc(len(reading.unreadable))
        metrics.TOLD.labels("dead_letter").inc(len(reading.unreadable))
        for batch in batches:
            for spend in batch.spends:
                _count(spend)
        return unsent

    def _settle(
        self,
        tenants: set[str],
        charges: dict[str, list[Charge]],
        orders: Iterable[GuardOrder],
        now_us: int,
        rev: int,
    ) -> list[OutboxRow]:
        stored = ledger.read_budgets(self._connection, tenants=tenants, due_us=now_us)
        if not stored:
            return []
        agents = self._agents_by_tenant()
        releases = [order for order in orders if order.action == "release" and order.scope != "run"]
        changed: list[tuple[StoredBudget, int]] = []
        told: list[tuple[StoredBudget, Told]] = []
        for it in stored:
            before = encode_state(it.state)
            tenant_id = it.budget.tenant_id
            for order in releases:
                if order.tenant_id == tenant_id:
                    session_key = order.scope_id if order.scope == "session" else ""
                    released = release(it.budget, it.state, order.agent_id, now_us, session_key=session_key)
                    told.append((it, released))
            settled = settle(
                it.budget, it.state, charges.get(tenant_id, ()), now_us, rev, agents=agents.get(tenant_id, ())
            )
            told.append((it, settled))
            if tenant_id not in charges or encode_state(it.state) != before:
                changed.append((it, settled.wake_at_us))
        ledger.write_states(self._connection, changed)
        return outbox_rows(told, now_us, rev)

    def _agents_by_tenant(self) -> dict[str, list[str]]:
        if time.monotonic() - self._agents_at_s > AGENTS_FRESH_S:
            self._agents = ledger.agents_by_tenant(self._connection)
            self._agents_at_s = time.monotonic()
        return self._agents


def outbox_rows(told: Iterable[tuple[StoredBudget, Told]], now_us: int, rev: int) -> list[OutboxRow]:
    """Make the records of what one transaction tells: first what somebody is stopped by."""
    rows: list[OutboxRow] = []
    alerts: list[Alert] = []
    for it, what in told:
        tenant_id = it.budget.tenant_id
        for agent_id, body in what.messages:
            message = GuardMessage(tenant_id=tenant_id, agent_id=agent_id, rev=rev, issued_at_us=now_us, body=body)
            rows.append(OutboxRow(GUARD.name, record_key(tenant_id, agent_id), _encoder.encode(message)))
            metrics.TOLD.labels("verdict" if isinstance(body, Verdict) else "allowance").inc()
        alerts += what.alerts
    metrics.TOLD.labels("alert").inc(len(alerts))

    def batch_of(tenant_id: str, agent_id: str, part: int, some: list[Alert]) -> AlertBatch:
        return AlertBatch(tenant_id=tenant_id, agent_id=agent_id, rev=rev, part=part, alerts=some)

    return rows + batch_rows(BUDGET_ALERTS.name, alerts, MAX_ALERTS_PER_RECORD, batch_of)


def _dead_letter(record: Record, reason: str) -> OutboxRow:
    headers = {
        "stage": STAGE,
        "reason": reason,
        "original_topic": record.topic,
        "original_partition": str(record.partition),
        "original_offset": str(record.offset),
    }
    return OutboxRow(SPEND.dead_letter.name, b"", record.value, headers)


def _count(spend: Spend) -> None:
    metrics.SPENDS.inc()
    cost_usd = float(spend.cost_usd)
    metrics.SPEND_USD.inc(max(cost_usd, 0.0))
    metrics.CORRECTED_USD.inc(max(-cost_usd, 0.0))
    metrics.SPEND_TOKENS.inc(max(spend.num_tokens, 0))


def _charges(batches: Iterable[SpendBatch]) -> dict[str, list[Charge]]:
    charges: dict[str, list[Charge]] = {}
    for batch in batches:
        found = charges.setdefault(batch.tenant_id, [])
        found += [charge_of(batch.agent_id, spend, batch.received_at_us) for spend in batch.spends]
    return charges
