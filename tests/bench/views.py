"""R8: what the tenant's view costs in Trino, with its filter and its choice of the newest row, against a raw scan.

Upstream: tests/bench/month.py: rows as the stitcher sends them (most spans twice, traces while they grow), appended as
the sink appends, sorted, all tenants in each commit.
Downstream: ``tests.bench``.
Guarantee: the same question over the same rows; the tenant asks the view as the API lets it, the operator asks the
table and takes revisions as they lie. Both take turns, first as the sink left the files, then after the upkeep's
rewrite. Ledger: spans and cost that the view shows against what was made.
"""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from trino.dbapi import Connection

from infra.runtime.trino_connection import API, OPERATOR, connect, tenant_user
from lakehouse.catalog.connect import connect_catalog, load_table
from lakehouse.contracts.tables import SPANS, TRACES
from lakehouse.maintenance.procedures import Upkeep
from lakehouse.settings import UpkeepSettings
from tests.bench.harness import Check, Figure, Pairs, Part, take_turns
from tests.bench.month import SHARES, SPANS_A_TRACE, TENANT, Month, Rows, empty_rows
from tests.bench.world import World

NUM_SPANS = 100_000
NUM_APPENDS = 20
APPEND_WIDTH = timedelta(minutes=20)
NUM_PAIRS = 9
WARM_UP = 4
MAX_TRIES = 20
GOAL_LIVE, GOAL_FOLDED = 2.0, 1.3
_QUESTION = (
    "SELECT count(*), sum(input_tokens), sum(output_tokens), sum(cost_usd), approx_percentile(duration_ms, 0.95) "
    "FROM {relation} WHERE trace_date >= DATE '{day}' AND tenant_id = '{tenant}'"
)


def _fill(world: World) -> tuple[Month, datetime]:
    """Append the rows of all tenants; return the asking one's and the first instant."""
    settings = UpkeepSettings(home=world.settings.home, port_base=world.settings.port_base)
    catalog = connect_catalog(settings)
    tables = {spec.name: load_table(catalog, settings, spec) for spec in (SPANS, TRACES)}
    months = {tenant_id: Month(tenant_id, seed=8) for tenant_id in SHARES}
    # Within one day: a day more is a partition more, and the ratio would be of another lake at another hour.
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for number in range(NUM_APPENDS):
        traces, spans = empty_rows()
        for tenant_id, month in months.items():
            num_traces = max(1, round(NUM_SPANS * SHARES[tenant_id] / SPANS_A_TRACE / NUM_APPENDS))
            month.add_traces(num_traces, since + number * APPEND_WIDTH, APPEND_WIDTH, traces, spans)
        for rows in (spans, traces):
            _append(tables[rows.table.name], rows)
    return months[TENANT], since


def _append(table: Table, rows: Rows) -> None:
    for _ in range(MAX_TRIES):
        try:
            table.append(rows.as_arrow())
        except CommitFailedException:
            # The sink of the stack was quicker; nothing of ours is there.
            table.refresh()
        else:
            return
    raise RuntimeError(f"{table.name()}: no commit went through in {MAX_TRIES} tries")


class Asking:
    """One question, asked of the view as the tenant and of the table as the operator."""

    def __init__(self, world: World, day: datetime) -> None:
        """``day`` bounds the partitions that are read."""
        settings = world.settings
        self._day = day.date().isoformat()
        self._tenant = connect(settings, API, tenant_user(TENANT))
        self._operator = connect(settings, OPERATOR)
        self.answer: list[object] = []

    def view(self) -> float:
        """Return the seconds."""
        return self._ask(self._tenant, "iceberg.clawtrace.spans")

    def table(self) -> float:
        """Return the seconds."""
        return self._ask(self._operator, "iceberg.silver.spans")

    def _ask(self, connection: Connection, relation: str) -> float:
        question = _QUESTION.format(relation=relation, day=self._day, tenant=TENANT)
        started = time.perf_counter()
        self.answer = list(connection.cursor().execute(question).fetchone() or ())
        return time.perf_counter() - started

    def close(self) -> None:
        """Let go of Trino."""
        self._tenant.close()
        self._operator.close()


def measure(world: World) -> Part:
    """Fill, ask, fold, ask again."""
    month, since = _fill(world)
    asking, part = Asking(world, since), Part("views")
    turns: dict[str, Pairs] = {}
    try:
        turns["live"] = take_turns(asking.view, asking.table, NUM_PAIRS, WARM_UP)
        _fold(world)
        turns["folded"] = take_turns(asking.view, asking.table, NUM_PAIRS, WARM_UP)
        asking.view()
        num_spans, cost_usd = asking.answer[0], asking.answer[3]
    finally:
        asking.close()
    for name, goal in (("live", GOAL_LIVE), ("folded", GOAL_FOLDED)):
        pairs = turns[name]
        part.figures += [
            pairs.figure(f"R8 tenant's view ÷ raw scan, {name}", ("≤", goal)),
            Figure(f"tenant's view, {name}", pairs.median_ours * 1000, "ms"),
            Figure(f"raw scan, {name}", pairs.median_baseline * 1000, "ms"),
        ]
    part.ledger = [
        Check("spans in the view", month.counts.num_spans, int(str(num_spans))),
        Check("cost in the view, 1e-12 dollars", _picos(month.counts.cost_usd), _picos(Decimal(str(cost_usd)))),
    ]
    part.details = {"rows": month.counts.span_rows, "appends": NUM_APPENDS}
    return part


def _picos(usd: Decimal) -> int:
    return int(usd.scaleb(12))


def _fold(world: World) -> None:
    upkeep = Upkeep(UpkeepSettings(home=world.settings.home, port_base=world.settings.port_base))
    for _ in range(MAX_TRIES):
        outcomes = upkeep.run("optimize", (SPANS,))
        if not any(outcome.error for outcome in outcomes):
            return
    raise RuntimeError("; ".join(outcome.describe() for outcome in outcomes))
