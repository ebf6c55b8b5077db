"""The Iceberg catalog that Trino reads too: pyiceberg over the same Postgres tables, or over a REST server.

Upstream: infra.runtime.settings.
Downstream: provisioning and the sink.
Guarantee: schema version v1, without which Trino could not keep views in the same catalog.
"""

from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableRequirement, TableUpdate
from pyiceberg.typedef import Identifier

from infra.runtime.fail_points import reach
from lakehouse.contracts.tables import TableSpec
from lakehouse.settings import LakeSettings

# A catalog that does not answer must become an error that the sink can wait on, not a hang.
_CONNECT_TIMEOUT_S = 10


class PostgresCatalog(SqlCatalog):
    """pyiceberg's own, but for two things.

    It remembers the metadata that it wrote itself: a commit begins with the table's newest, which pyiceberg reads back
    from the warehouse each time, and a metadata file never changes. And a test can let the process die between a new
    metadata file and the pointer to it.
    """

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        # Newest of our own for each table, under where it lies.
        self._written: dict[Identifier, tuple[str, TableMetadata]] = {}

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commit, and remember what the table is now."""
        response = super().commit_table(table, requirements, updates)
        self._written[table.name()] = (response.metadata_location, response.metadata)
        return response

    def _convert_orm_to_iceberg(self, orm_table: IcebergTables) -> Table:
        name = (*self.identifier_to_tuple(orm_table.table_namespace), orm_table.table_name)
        location, metadata = self._written.get(name, (None, None))
        if location is None or metadata is None or location != orm_table.metadata_location:
            return super()._convert_orm_to_iceberg(orm_table)
        return Table(name, metadata, location, self._load_file_io(metadata.properties, location), self)

    @staticmethod
    def _write_metadata(*arguments: Any, **more: Any) -> None:
        SqlCatalog._write_metadata(*arguments, **more)
        reach("sink.metadata_written")


def connect_catalog(settings: LakeSettings) -> Catalog:
    """Open the catalog; in Postgres it makes its own two tables when they are missing."""
    if settings.catalog_type == "rest":
        return RestCatalog(
            settings.catalog_name,
            uri=settings.catalog_uri,
            warehouse=settings.warehouse,
            **settings.catalog_properties,
        )
    url = settings.database_url()
    separator = "&" if "?" in url else "?"
    if url.startswith("postgresql"):
        url = f"{url}{separator}connect_timeout={_CONNECT_TIMEOUT_S}"
    return PostgresCatalog(
        settings.catalog_name,
        uri=url,
        warehouse=settings.warehouse,
        schema_version="v1",
        # A connection that died with its server must not fail the next commit.
        pool_pre_ping="true",
        **settings.catalog_properties,
    )


def load_table(catalog: Catalog, settings: LakeSettings, spec: TableSpec) -> Table:
    """Load a silver table.

    Raises:
        NoSuchTableError: `clawtrace lake provision` was never run.
    """
    return catalog.load_table((settings.silver_namespace, spec.name))
