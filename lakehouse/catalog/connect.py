"""The Iceberg catalog: pyiceberg over the same Postgres tables that Trino reads.

Upstream: infra.runtime.settings.
Downstream: provisioning and the sink.
Guarantee: schema version v1, without which Trino could not keep views in the same catalog.
"""

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from lakehouse.contracts.tables import TableSpec
from lakehouse.settings import LakeSettings

# A catalog that does not answer must become an error that the sink can wait on, not a hang.
_CONNECT_TIMEOUT_S = 10


def connect_catalog(settings: LakeSettings) -> SqlCatalog:
    """Open the catalog; makes its own two tables in Postgres when they are missing."""
    url = settings.database_url()
    separator = "&" if "?" in url else "?"
    if url.startswith("postgresql"):
        url = f"{url}{separator}connect_timeout={_CONNECT_TIMEOUT_S}"
    return SqlCatalog(
        settings.catalog_name,
        uri=url,
        warehouse=settings.warehouse,
        schema_version="v1",
        # A connection that died with its server must not fail the next commit.
        pool_pre_ping="true",
    )


def load_table(catalog: SqlCatalog, settings: LakeSettings, spec: TableSpec) -> Table:
    """Load a silver table.

    Raises:
        NoSuchTableError: `clawtrace lake provision` was never run.
    """
    return catalog.load_table((settings.silver_namespace, spec.name))
