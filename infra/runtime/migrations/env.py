"""Entry point that alembic calls.

Upstream: ``infra.runtime.database.migrate``, which opens the connection and holds the lock.
Downstream: the files in ``versions``.
Guarantee: one transaction for all versions; nothing outside the schema ``control``.
"""

from alembic import context

from infra.runtime.database import SCHEMA, VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
)
with context.begin_transaction():
    context.run_migrations()
