"""The sender's own book: what was sent, and what the gateway said it has taken.

Upstream: ``campaign`` writes each event before it is sent, and marks it when its delivery is acknowledged.
Downstream: ``oracle`` compares the tables with it.
Guarantee: independent of everything under test: a file of its own, which survives whatever is killed.
"""

import sqlite3
import threading
from pathlib import Path

from tests.faults.mixture import Delivery

EventKey = tuple[str, str, str, int]


class Ledger:
    """One book for one campaign. Safe from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._book = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._book.execute("PRAGMA journal_mode = WAL")
        self._book.execute(
            "CREATE TABLE IF NOT EXISTS events (tenant_id TEXT, agent_id TEXT, spool_id TEXT, seq INTEGER, "
            "is_acked INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (spool_id, seq)) WITHOUT ROWID"
        )

    def note(self, delivery: Delivery) -> None:
        """Write down what is about to be sent."""
        run = delivery.run
        rows = [(run.tenant_id, run.agent_id, delivery.spool_id, seq) for seq in delivery.seqs]
        with self._lock, self._book:
            self._book.executemany(
                "INSERT OR IGNORE INTO events (tenant_id, agent_id, spool_id, seq) VALUES (?, ?, ?, ?)", rows
            )

    def acknowledge(self, delivery: Delivery) -> None:
        """Mark what the gateway has taken."""
        rows = [(delivery.spool_id, seq) for seq in delivery.seqs]
        with self._lock, self._book:
            self._book.executemany("UPDATE events SET is_acked = 1 WHERE spool_id = ? AND seq = ?", rows)

    def sent(self, tenants: tuple[str, ...], *, acked_only: bool = False) -> set[EventKey]:
        """Return (tenant, agent, spool, seq) of what was sent for these tenants."""
        marks = ", ".join("?" * len(tenants))
        question = f"SELECT tenant_id, agent_id, spool_id, seq FROM events WHERE tenant_id IN ({marks})"
        with self._lock:
            return set(self._book.execute(question + (" AND is_acked = 1" if acked_only else ""), tenants))

    def close(self) -> None:
        """Close the book."""
        self._book.close()
