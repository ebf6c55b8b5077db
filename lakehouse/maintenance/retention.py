"""Deletes rows that are older than their tenant keeps them.

Upstream: lakehouse.contracts.retention; what tenants have set, in Postgres; the install's defaults in the settings.
Downstream: lakehouse.maintenance.row_removal; lakehouse.maintenance.schedule takes the turns.
Guarantee: only rows of that tenant and older than its days go. A table whose partition is a day loses whole files,
which nobody has to read; of the others the files that may hold such rows are written again without them.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import LessThan
from pyiceberg.table import FileScanTask, Table
from sqlalchemy import Engine

from infra.runtime import retention_rows
from lakehouse.contracts.retention import AGE_RULES, AgeRule, default_days, oldest_kept
from lakehouse.contracts.tables import table_named
from lakehouse.maintenance.row_removal import Choice, Removal, remove_rows

_EPOCH_DAY = date(1970, 1, 1)
Days = Mapping[tuple[str, str], int]


def rule_of(table: str) -> AgeRule | None:
    """How a table grows old; None when it does not."""
    return next((rule for rule in AGE_RULES if rule.table == table), None)


def read_days(engine: Engine) -> Days:
    """Days by (tenant, table), as far as tenants have set them."""
    with engine.connect() as connection:
        return retention_rows.all_days(connection)


def delete_old_rows(table: Table, rule: AgeRule, own: Days, defaults: Mapping[str, int], today: date) -> Removal:
    """Delete what is older than its tenant keeps it.

    Args:
        table: the silver table of the rule.
        own: days by (tenant, table).
        defaults: settings, days by table, for the others.
        today: the day (UTC) from which days are counted.

    Raises:
        FilesMoved, NotCommitted: see remove_rows; the next turn does it.
    """
    spec = table_named(rule.table)
    default = default_days(dict(defaults))[rule.table]
    fewest = min([default, *(days for (_, name), days in own.items() if name == rule.table)])
    place_of_tenant = spec.partition.index("tenant_id")
    place_of_day = spec.partition.index(rule.column) if rule.column in spec.partition else None

    def choose(task: FileScanTask) -> Choice:
        kept = oldest_kept(today, own.get((task.file.partition[place_of_tenant], rule.table), default))
        if place_of_day is None:
            # The file holds this tenant's rows only.
            return lambda rows: pc.less(rows[rule.column], pa.scalar(_begin_of(kept)))
        day = as_date(task.file.partition[place_of_day])
        return day is not None and day < kept

    newest = oldest_kept(today, fewest)
    where = LessThan(term=rule.column, value=_begin_of(newest) if place_of_day is None else newest)
    return remove_rows(table, where, choose, [rule.column])


def _begin_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def as_date(value: date | int | None) -> date | None:
    """Day of a partition, which Iceberg's files say as days since 1970."""
    return _EPOCH_DAY + timedelta(days=value) if isinstance(value, int) else value
