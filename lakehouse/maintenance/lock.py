"""Who changes files of the tables, beside the sink: one at a time, in the whole install.

Upstream: upkeep, erasures, `clawtrace lake rebuild`.
Downstream: a lock in Postgres.
Guarantee: a lock of a process that died is free again; the sink needs none.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Engine

from infra.runtime.database import lone_lock

# Any constant: all who change the tables must ask for the same lock.
TABLES_LOCK_ID: Final = 4_600_012
_LOOK_S: Final = 0.5


class TablesBusy(Exception):
    """Somebody else changes the tables, and did not end in time."""


@contextmanager
def tables_lock(engine: Engine, within_s: float) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        TablesBusy: it was not free in time.
        DatabaseAway: Postgres does not answer.
    """
    deadline = time.monotonic() + within_s
    while True:
        with lone_lock(engine, TABLES_LOCK_ID) as check:
            if check is not None:
                yield
                return
        if time.monotonic() >= deadline:
            raise TablesBusy("somebody else changes the tables: an erasure, a rebuild or the upkeep; try again later")
        time.sleep(_LOOK_S)
