"""Our own small tables in Postgres, schema ``control``: connection and migrations.

Upstream: settings; ``clawtrace db migrate`` and ``clawtrace up``.
Downstream: access keys; later whatever else is configuration and not data.
Guarantee: everything stays inside ``control``, version table included; the Iceberg catalog in ``public`` is
never touched.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from infra.runtime.metrics import note_dependency
from infra.runtime.settings import StackSettings

SCHEMA: Final = "control"
VERSION_TABLE: Final = "alembic_version"
MIGRATIONS_FOLDER: Final = Path(__file__).resolve().parent / "migrations"
CONNECT_TIMEOUT_S: Final = 3
STATEMENT_TIMEOUT_MS: Final = 5_000
# Any constant: two processes that migrate at once must ask for the same lock.
MIGRATION_LOCK_ID: Final = 4_600_001

metadata = MetaData(schema=SCHEMA)


class DatabaseAway(Exception):
    """Postgres cannot be reached, or has no place for us; the text says what to do."""


def make_engine(settings: StackSettings, *, pool_size: int = 4) -> Engine:
    """Make the engine of this process.

    Raises:
        DatabaseAway: the local stack was never started, so there is no password yet.
    """
    try:
        url = settings.database_url()
    except OSError as error:
        raise DatabaseAway(
            f"no Postgres password at {error.filename}; start the stack first (make up), or set CLAWTRACE_POSTGRES_DSN"
        ) from None
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "clawtrace",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
        },
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: it holds when the block ends, and never was when the block raises.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
        IntegrityError: what was written contradicts what is there.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise away(error) from error


@contextmanager
def lone_lock(engine: Engine, lock_id: int) -> Iterator[Callable[[], None] | None]:
    """Hold a lock of the whole database while the block runs; gives None when somebody else has it.

    Otherwise gives a function that raises DatabaseAway when the lock is lost: ask it before whatever must not be done
    by two.

    Raises:
        DatabaseAway: Postgres does not answer.
    """
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:id)"), {"id": lock_id}):
                yield None
                return

            def check() -> None:
                try:
                    connection.execute(text("SELECT 1"))
                except SQLAlchemyError as error:
                    raise away(error) from error

            try:
                yield check
            finally:
                # The connection goes back to its pool and would keep the lock.
                connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": lock_id})
    except SQLAlchemyError as error:
        raise away(error) from error


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Bring the schema to the newest version; return the version before and after. Safe to run at any time, by many.

    Raises:
        DatabaseAway: Postgres does not answer.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": MIGRATION_LOCK_ID})
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "version_table_schema": SCHEMA}
            )
            before = context.get_current_revision()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise away(error) from error
    return before, newest_version()


def newest_version() -> str | None:
    """Version that the code in this checkout expects."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head()


def missing_from_database(engine: Engine) -> list[str]:
    """Return what keeps the database from being used, in plain words; empty when nothing does."""
    try:
        with engine.connect() as connection:
            found = connection.scalar(text("SELECT to_regclass('control.access_keys')"))
    except SQLAlchemyError as error:
        note_dependency("postgres", is_up=False)
        return [str(away(error))]
    note_dependency("postgres", is_up=True)
    return [] if found else ["Postgres: the table control.access_keys is missing; run clawtrace db migrate"]


def away(error: SQLAlchemyError) -> DatabaseAway:
    """Say in one line why the database did not answer."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    first = reason[0] if reason else type(error).__name__
    if isinstance(error, ProgrammingError):
        hint = "; run clawtrace db migrate"
    else:
        hint = "; is the stack running? (make up)" if "connect" in first else ""
    return DatabaseAway(f"Postgres does not answer: {first}{hint}")
