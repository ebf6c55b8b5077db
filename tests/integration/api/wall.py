"""Asks hostile SQL at three levels and says what came back, and what of it is not the asker's.

``own`` is small, ``foreign`` large. Every value of a foreign row is unmistakable: texts carry a canary, numbers are
huge, instants lie in 2077; and no count of own rows is a multiple of the number of foreign ones.
"""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trino.exceptions import TrinoQueryError

from infra.runtime.settings import StackSettings
from infra.runtime.trino_connection import connect
from lakehouse.contracts.columns import ColumnSpec
from lakehouse.contracts.tables import TABLES, TableSpec
from tests.integration.api.conftest import Client, change_silver, new_tenant_id

NUM_OWN, NUM_FOREIGN = 7, 211
# Rows of the silver tables that only the operator counts; a huge number stays huge in a sum or an average.
_LEAST_FOREIGN = 10**8
_YEAR = re.compile(r"\b2077\b")
# As many as one tenant's user may run at once.
_AT_ONCE = 4
# Which rows come is up to the engine, or the answer holds timings.
_LOOSE = re.compile(r"\b(limit|offset|fetch|tablesample|explain|listagg|array_agg|map_agg)\b", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_PLAN = re.compile(r"^\W*explain", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """The two tenants; ``canary`` is in every text of the foreign rows and nowhere else."""

    own: str
    foreign: str
    canary: str

    def fill(self, template: str) -> str:
        """Put the tenants' ids into a text."""
        filled = template.replace("{{", "{").replace("}}", "}")
        return filled.replace("{own}", self.own).replace("{foreign}", self.foreign)


@dataclass(frozen=True)
class Said:
    """What came back: rows, or an error. ``num_read``: rows that the engine read for it, -1 when unknown."""

    columns: tuple[str, ...] = ()
    rows: tuple[Any, ...] = ()
    error: str = ""
    message: str = ""
    num_read: int = -1

    def outline(self, sql: str) -> object:
        """What must not change when foreign rows come: order and timings left out."""
        if self.error or _LOOSE.search(sql):
            return (self.error, self.columns)
        return (self.columns, len(self.rows), Counter(str(self.rows)))


def new_pair() -> Pair:
    """Two tenants that nobody else has."""
    return Pair(new_tenant_id(), new_tenant_id(), f"canary{secrets.token_hex(6)}")


def fill_tables(stack: StackSettings, pair: Pair, *, foreign: bool) -> None:
    """Write rows of one of the two into every silver table."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda table: change_silver(stack, _insert(table, pair, foreign)), TABLES))


def empty_tables(stack: StackSettings, pair: Pair) -> None:
    """Take the rows of both out again."""

    def clear(table: TableSpec) -> None:
        change_silver(stack, f"DELETE FROM silver.{table.name} WHERE tenant_id IN ('{pair.own}', '{pair.foreign}')")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(clear, TABLES))


def _insert(table: TableSpec, pair: Pair, foreign: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(_expression(column, pair, foreign) for column in table.columns)
    last = (NUM_FOREIGN if foreign else NUM_OWN) - 1
    return f"INSERT INTO silver.{table.name} ({names}) SELECT {values} FROM UNNEST(sequence(0, {last})) AS s(n)"


def _expression(column: ColumnSpec, pair: Pair, foreign: bool) -> str:
    if column.name == "tenant_id":
        return f"'{pair.foreign if foreign else pair.own}'"
    if column.internal and column.type == "long":
        return "0"
    text = f"'{pair.canary if foreign else 'mine'}-{column.name}-' || CAST(n AS varchar)"
    return {
        "string": text,
        "long": "7777777000000 + n" if foreign else "n",
        "double": "7.777777e12" if foreign else "0.5",
        "boolean": str(foreign).lower(),
        "date": f"DATE '{2077 if foreign else 2026}-03-01'",
        "timestamptz": f"TIMESTAMP '{2077 if foreign else 2026}-03-01 12:00:00 UTC' + n * INTERVAL '1' SECOND",
        "decimal(24,12)": "DECIMAL '777777700.125'" if foreign else "DECIMAL '0.125'",
        "list<string>": f"ARRAY[{text}]",
        "map<string,string>": f"MAP(ARRAY[{text}], ARRAY[{text}])",
    }[column.type]


def ask_engine(stack: StackSettings, principal: str, sql: str) -> Said:
    """Level b and the execution of level c: Trino as this user, with nothing of ours in between."""
    connection = connect(stack, principal, request_timeout_s=60)
    cursor = connection.cursor()
    try:
        rows = tuple(map(tuple, cursor.execute(sql).fetchall()))
    except TrinoQueryError as error:
        return Said(error=str(error.error_name), message=f"{error.message} {error.failure_info}")
    finally:
        connection.close()
    columns = tuple(str(column.name) for column in cursor.description or ())
    return Said(columns, rows, num_read=(cursor.stats or {}).get("processedRows", 0))


def ask_door(client: Client, sql: str) -> Said:
    """Level a: POST /v1/sql."""
    answer = client.sql(sql)
    document = answer.json()
    if answer.status_code == 422:
        code = document.get("code") or "invalid"
        return Said(error=str(code), message=answer.text)
    assert answer.status_code == 200, f"{answer.status_code} for {sql}: {answer.text}"
    columns = tuple(str(column["name"]) for column in document["columns"])
    return Said(columns, tuple(map(tuple, document["rows"])))


def ask_all(ask: Callable[[str], Said], texts: Iterable[str]) -> dict[str, Said]:
    """Ask several at once; answers by text."""
    todo = list(dict.fromkeys(texts))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(todo, pool.map(ask, todo), strict=True))


def leaks(sql: str, said: Said, pair: Pair) -> list[str]:
    """Say what of an answer is not the asker's."""
    everything = f"{said.columns} {said.rows} {said.message}"
    found = [f"{word!r} in the answer" for word in (pair.canary, "7777777") if word in everything]
    if _YEAR.search(everything):
        found.append("an instant of the other")
    # The id may stand where the question is repeated: in an error, a plan, the name of a column, a literal.
    if pair.foreign not in sql and pair.foreign in everything:
        found.append("the foreign id in the answer")
    if _PLAN.match(sql):
        return found
    for number in _numbers(said.rows):
        if abs(number) >= _LEAST_FOREIGN:
            found.append(f"the number {number}")
        elif number and number == int(number) and (number % NUM_FOREIGN == 0 or number % (NUM_FOREIGN + NUM_OWN) == 0):
            found.append(f"the count {number}")
    return found


def _numbers(value: Any) -> Iterable[Decimal]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float | Decimal) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        number = Decimal(str(value))
        if number.is_finite():
            yield number
    elif isinstance(value, dict):
        yield from _numbers([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _numbers(item)
