"""How long rows stay: which tables grow old, by what a row's age is told, and the bounds.

Upstream: lakehouse.contracts.tables.
Downstream: lakehouse.retention deletes by it; the API shows and sets days by it.
Guarantee: pure. A row is old when its day (UTC) lies more than ``days`` days before today; tables that are not here
(agents, tenants) keep one row per install and grow no older.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

RetainedTable = Literal["events", "spans", "edges", "traces", "alerts", "cards", "scores", "verdicts"]

MIN_DAYS = 1
MAX_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class AgeRule:
    """``column`` tells the age of a row; rows where it is NULL stay."""

    table: RetainedTable
    column: str
    default_days: int


# Events and verdicts are what is big and what is forgotten first; what people come back to stays longer than a year.
AGE_RULES: tuple[AgeRule, ...] = (
    AgeRule("events", "event_date", 30),
    AgeRule("spans", "trace_date", 400),
    AgeRule("edges", "trace_date", 400),
    AgeRule("traces", "trace_date", 400),
    AgeRule("alerts", "at", 400),
    AgeRule("cards", "trace_date", 400),
    AgeRule("scores", "trace_date", 400),
    # Not when it was said: one that is in force is not old.
    AgeRule("verdicts", "expires_at", 90),
)

RETAINED_TABLES: tuple[RetainedTable, ...] = get_args(RetainedTable)


def default_days(overrides: dict[str, int]) -> dict[RetainedTable, int]:
    """Days of each table when a tenant sets none of its own: the install's, else the built-in ones.

    Raises:
        ValueError: a table that is none, or days out of bounds; the text names it.
    """
    for table, days in overrides.items():
        if table not in RETAINED_TABLES:
            raise ValueError(f"{table}: there is no such table; there are {', '.join(RETAINED_TABLES)}")
        if not MIN_DAYS <= days <= MAX_DAYS:
            raise ValueError(f"{table}: {days} days; give {MIN_DAYS} to {MAX_DAYS}")
    return {rule.table: overrides.get(rule.table, rule.default_days) for rule in AGE_RULES}


def oldest_kept(today: date, days: int) -> date:
    """First day (UTC) that stays."""
    return today - timedelta(days=days)
