"""Puts data files of a table in the place of others, while the sink goes on.

Upstream: lakehouse.maintenance.row_removal, lakehouse.rebuild: files that were written beforehand.
Downstream: the Iceberg table; readers see all of the change or nothing.
Guarantee: the sink's progress and whatever it appends meanwhile stay: only the named files go. The commit is
compare-and-swap as the sink's is, and made again when the head has moved; a named file that somebody else has replaced
ends it (:class:`FilesMoved`), and nothing has happened. Every commit moves the head, so a sink that has rows in its
hands finds out before it commits them.
"""

import random
import time
import uuid
from collections.abc import Collection

import structlog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from lakehouse import metrics
from lakehouse.sink.committer import TRANSIENT, CommitTransaction

_log = structlog.get_logger(__name__)

CHANGE_PROPERTY = "clawtrace.change"
_MAX_TRIES = 200
# The sink's commits take about as long; a little chance keeps two from meeting again and again.
_LONGEST_WAIT_S = 0.2
_AWAY_WAIT_S = 1.0


class FilesMoved(Exception):
    """Somebody else has replaced a file meanwhile: look at the table again."""


class NotCommitted(Exception):
    """The head moved at every try, or the catalog stayed away; nothing is known to have happened."""


def swap_files(table: Table, removed: Collection[DataFile], added: Collection[DataFile]) -> None:
    """Take files out and put files in, in one commit; also with none of either, which only moves the head.

    The table is left refreshed or as committed.

    Raises:
        FilesMoved: look again and start over; what was added is an orphan, and upkeep removes it.
        NotCommitted: try again later.
    """
    change_id = uuid.uuid4().hex
    is_doubtful = False
    for _ in range(_MAX_TRIES):
        try:
            if is_doubtful:
                table.refresh()
                if _has_landed(table, change_id):
                    return
            _swap(table, removed, added, change_id)
            return
        except CommitFailedException:
            metrics.CONFLICTS.labels(table=table.name()[-1]).inc()
            is_doubtful = True
            time.sleep(random.uniform(0, _LONGEST_WAIT_S))
        except ValidationException as error:
            raise FilesMoved(str(error)) from error
        except TRANSIENT as error:
            _log.warning("swap_outcome_unknown", table=table.name()[-1], error=str(error).splitlines()[0])
            is_doubtful = True
            time.sleep(_AWAY_WAIT_S)
    raise NotCommitted(f"{table.name()[-1]}: the table did not stand still for one commit")


def _swap(table: Table, removed: Collection[DataFile], added: Collection[DataFile], change_id: str) -> None:
    transaction = CommitTransaction(table)
    snapshot = transaction.update_snapshot(snapshot_properties={CHANGE_PROPERTY: change_id})
    # An append leaves out manifests that only say what was deleted: these hold bounds of the values.
    with snapshot.overwrite() if removed else snapshot.merge_append() as change:
        for file in removed:
            change.delete_data_file(file)
        for file in added:
            change.append_data_file(file)
    transaction.commit_transaction()


def _has_landed(table: Table, change_id: str) -> bool:
    return any(
        snapshot.summary is not None and snapshot.summary.additional_properties.get(CHANGE_PROPERTY) == change_id
        for snapshot in table.snapshots()
    )
