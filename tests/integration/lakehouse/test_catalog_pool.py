"""Postgres comes back, and no query of Trino pays for a connection that it had before."""

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from infra.local.artifacts import trino_folder
from infra.local.layout import Layout
from infra.runtime.settings import StackSettings
from tests.integration.doors import Doors
from tests.java_clients import answer_of
from tests.stack import ROOT

NUM_AT_ONCE = 12
SHIPPED = ROOT / "infra/trino/catalog/iceberg.properties"


def test_after_its_connections_were_ended_no_query_fails(doors: Doors) -> None:
    def ask(_: int) -> int:
        return len(doors.operator_rows("SELECT count(*) FROM iceberg.silver.events"))

    engine = sa.create_engine(doors.stack.database_url(), isolation_level="AUTOCOMMIT")
    try:
        with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
            # So many at once that all connections of the pool are open.
            assert list(pool.map(ask, range(2 * NUM_AT_ONCE))) == [1] * 2 * NUM_AT_ONCE
            with engine.connect() as connection:
                ended = connection.scalars(
                    sa.text(
                        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                        "WHERE application_name = 'PostgreSQL JDBC Driver'"
                    )
                ).all()
            assert ended
            assert all(ended)
            assert list(pool.map(ask, range(2 * NUM_AT_ONCE))) == [1] * 2 * NUM_AT_ONCE
    finally:
        engine.dispose()


def test_the_pool_goes_on_with_the_states_we_set_and_not_without_them(stack: StackSettings) -> None:
    (line,) = [line for line in SHIPPED.read_text().splitlines() if "retryable-status-codes" in line]
    url = make_url(stack.database_url())
    question = {
        "classpath": [str(trino_folder(Layout.of(stack)) / "plugin/iceberg/*")],
        "url": f"postgresql://{url.host}:{url.port}/{url.database}",
        "user": url.username,
        "password": url.password,
        "codes": [line.partition("=")[2].split(","), []],
    }
    assert answer_of("tests.catalog_pool", question) == ["ok", "57P01"]
