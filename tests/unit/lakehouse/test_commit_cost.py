"""What a commit costs: pyiceberg's transaction by itself, and the one that the sink uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table, Transaction, update

from lakehouse.catalog.provision import provision_tables
from lakehouse.contracts.tables import table_named
from lakehouse.sink import committer
from lakehouse.sink.committer import TableCommitter
from lakehouse.sink.progress import TableProgress

AGENTS = table_named("agents")
# Three changes in a commit; each may be worked out once, and once more when the catalog takes it.
MOST_NEEDED = 6


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    """A catalog in a file."""
    catalog = SqlCatalog(
        "test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse", schema_version="v1"
    )
    provision_tables(catalog, "silver", (AGENTS,))
    yield catalog
    catalog.engine.dispose()


def num_metadata_made(catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch) -> int:
    """Commit once; return how often the table's metadata, with all its snapshots, was worked out anew."""
    made = 0
    stock = update.update_table_metadata

    def count(*arguments: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        return stock(*arguments, **more)

    monkeypatch.setattr("pyiceberg.table.update_table_metadata", count)
    table = TableCommitter(catalog, ("silver", "agents"), AGENTS, lambda seconds: True)
    table.commit([], TableProgress().following())
    monkeypatch.undo()
    return made


def test_a_commit_works_its_metadata_out_again_and_again_by_itself(
    catalog: SqlCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = num_metadata_made(catalog, monkeypatch)
    assert ours <= MOST_NEEDED
    catalog.drop_table(("silver", "agents"))
    provision_tables(catalog, "silver", (AGENTS,))
    with monkeypatch.context() as patch:
        patch.setattr(committer, "CommitTransaction", Transaction)
        stock = num_metadata_made(catalog, patch)
    # If this fails, pyiceberg has learnt to remember; look whether the work-around is still needed.
    assert stock > 2 * MOST_NEEDED
    assert isinstance(catalog.load_table(("silver", "agents")), Table)
