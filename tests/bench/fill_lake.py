"""Fills a lake with a month of agents' work: appended as the sink appends, folded as upkeep folds.

Upstream: tests/bench/month.py; a running Postgres and Trino (CLAWTRACE_HOME, CLAWTRACE_PORT_BASE).
Downstream: tests/bench/api_times.py measures the API over it.
Guarantee: a lake that holds what is asked for already is left as it is. Each append holds the rows of all tenants,
one sorted file a partition, as one of the sink's commits does; older days are folded by the procedures of upkeep
itself, and the last minutes are not, since upkeep comes by each ten minutes. What was written stands in a ledger
beside the lake.

    python -m tests.bench.fill_lake --spans 1000000
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import In
from pyiceberg.table import Table

from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.tables import AGENTS, SPANS, TRACES
from lakehouse.maintenance.procedures import Upkeep
from lakehouse.settings import LakeSettings, UpkeepSettings
from tests.bench.month import (
    LARGE_SPANS,
    LARGE_TRACE,
    NUM_AGENTS,
    NUM_DAYS,
    SHARES,
    SPANS_A_TRACE,
    TENANT,
    Month,
    Rows,
    empty_rows,
)

APPENDS_A_DAY = 2
FOLD_EVERY_DAYS = 5
# The sink's commits since upkeep last came by, each with the traces of half a minute.
UNFOLDED_APPENDS = 20
UNFOLDED_WIDTH = timedelta(seconds=30)
# A lake that ends yesterday has nothing in the windows that end now.
FRESH_FOR = timedelta(hours=6)
MAX_TRIES = 20


def ledger_file(settings: LakeSettings) -> Path:
    """Where it stands what was written."""
    return settings.home / "bench-lake.json"


def read_ledger(settings: LakeSettings) -> dict[str, Any] | None:
    """What was written, by tenant; None when nothing was, or not to its end."""
    file = ledger_file(settings)
    return json.loads(file.read_text()) if file.exists() else None


def fill_once(settings: LakeSettings, num_spans: int, seed: int = 1) -> dict[str, Any]:
    """Fill the lake, unless it holds the same and ends today; return the ledger."""
    ledger = read_ledger(settings)
    if ledger is not None and (ledger["num_spans"], ledger["seed"]) == (num_spans, seed):
        age = datetime.now(UTC) - datetime.fromisoformat(ledger["until"])
        if age < FRESH_FOR:
            return ledger
    return _Filling(settings, num_spans, seed).run()


class _Filling:
    def __init__(self, settings: LakeSettings, num_spans: int, seed: int) -> None:
        self._settings, self._num_spans, self._seed = settings, num_spans, seed
        catalog = connect_catalog(settings)
        self._tables = {spec.name: load_table(catalog, settings, spec) for spec in (TRACES, SPANS, AGENTS)}
        self._months = {tenant_id: Month(tenant_id, seed) for tenant_id in SHARES}
        self._until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        # Its folding is that of a small file's size, not of how much is new: a table at rest is left alone.
        self._upkeep = Upkeep(UpkeepSettings(home=settings.home, port_base=settings.port_base))

    def run(self) -> dict[str, Any]:
        """Write everything, in place of what an earlier call left."""
        ledger_file(self._settings).unlink(missing_ok=True)
        began_at_s = time.monotonic()
        for table in self._tables.values():
            _retried(table, lambda table=table: table.delete(In("tenant_id", list(SHARES))))
        width = timedelta(days=1) / APPENDS_A_DAY
        num_appends = NUM_DAYS * APPENDS_A_DAY
        start = self._until - num_appends * width
        for number in range(num_appends):
            self._append_stretch(start + number * width, width, 1 / num_appends)
            if number == num_appends - 2 * APPENDS_A_DAY:
                self._append_large_trace(start + number * width)
            if (number + 1) % (FOLD_EVERY_DAYS * APPENDS_A_DAY) == 0:
                self._fold()
        self._append_agents()
        since = self._until - UNFOLDED_APPENDS * UNFOLDED_WIDTH
        for number in range(UNFOLDED_APPENDS):
            self._append_stretch(since + number * UNFOLDED_WIDTH, UNFOLDED_WIDTH, UNFOLDED_WIDTH / timedelta(NUM_DAYS))
        ledger = {
            "num_spans": self._num_spans,
            "seed": self._seed,
            "until": self._until.isoformat(),
            "seconds": round(time.monotonic() - began_at_s, 1),
            "tenants": {tenant_id: asdict(month.counts) for tenant_id, month in self._months.items()},
        }
        text = json.dumps(ledger, default=str)
        ledger_file(self._settings).write_text(text)
        read: dict[str, Any] = json.loads(text)
        return read

    def _append_stretch(self, since: datetime, width: timedelta, share_of_month: float) -> None:
        """Append the traces of all tenants that start within a stretch of time, at least one each."""
        traces, spans = empty_rows()
        for tenant_id, month in self._months.items():
            num_traces = (self._num_spans - LARGE_SPANS) * SHARES[tenant_id] * share_of_month / SPANS_A_TRACE
            month.add_traces(max(1, round(num_traces)), since, width, traces, spans)
        self._append(spans)
        self._append(traces)

    def _append_large_trace(self, at: datetime) -> None:
        traces, spans = empty_rows()
        self._months[TENANT].add_trace(LARGE_TRACE, at, LARGE_SPANS, traces, spans)
        self._append(spans)
        self._append(traces)

    def _append_agents(self) -> None:
        agents = Rows(AGENTS)
        seen = {"first_seen_at": self._until - timedelta(days=NUM_DAYS), "last_seen_at": self._until}
        for tenant_id in SHARES:
            for number in range(NUM_AGENTS):
                agents.rows.append({"tenant_id": tenant_id, "agent_id": f"agent-{number}", **seen})
        self._append(agents)

    def _append(self, rows: Rows) -> None:
        table, arrow = self._tables[rows.table.name], rows.as_arrow()
        _retried(table, lambda: table.append(arrow))

    def _fold(self) -> None:
        for procedure in ("optimize", "expire_snapshots"):
            for outcome in self._upkeep.run(procedure, (SPANS, TRACES)):
                if outcome.error:
                    raise RuntimeError(outcome.describe())
        for table in self._tables.values():
            table.refresh()


def _retried(table: Table, change: Callable[[], None]) -> None:
    """Make a change; when somebody else committed meanwhile, which leaves nothing of it behind, make it again."""
    for _ in range(MAX_TRIES):
        try:
            change()
            return
        except CommitFailedException:
            table.refresh()
    raise RuntimeError(f"{table.name()}: no commit went through in {MAX_TRIES} tries")


def main() -> None:
    """Fill the lake of the stack that CLAWTRACE_HOME and CLAWTRACE_PORT_BASE name."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--spans", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    wanted = arguments.parse_args()
    ledger = fill_once(LakeSettings(), wanted.spans, wanted.seed)
    rows = {kind: sum(found[kind] for found in ledger["tenants"].values()) for kind in ("span_rows", "trace_rows")}
    print(f"{wanted.spans:,} spans, in {rows['span_rows']:,} and {rows['trace_rows']:,} rows, {ledger['seconds']} s")


if __name__ == "__main__":
    main()
