"""Finds the model calls of the past that today's price list prices otherwise.

Upstream: ``POST /v1/sql`` with a read key; the API reads the same columns by itself.
Downstream: ``stream_jobs.prices.reprice``.
Guarantee: every call of the period, however many; an API that is away or refuses is an error, never an empty answer.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import httpx2

from producers.contracts.pricing.book import PriceBook
from producers.contracts.usage import TokenUsage

SQL_PATH: Final = "/v1/sql"
ROWS_PER_QUESTION: Final = 1_000
# A trace is filed under the day of its first run, which may lie before that of a call.
LONGEST_TRACE: Final = timedelta(days=7)
# Tables keep twelve decimals; what differs by less is the same.
_LEAST_USD: Final = Decimal("1e-12")

COLUMNS: Final = (
    "span_id",
    "tenant_id",
    "agent_id",
    "provider",
    "model",
    "started_at",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "cost_usd",
    "price_id",
)


class HistoryAway(Exception):
    """The API did not say what there is; the text says why and what to do."""


class Change(NamedTuple):
    """One call, with what it costs in the tables and what it would cost; None is unknown."""

    span_id: str
    agent_id: str
    model: str
    was_usd: Decimal | None
    now_usd: Decimal | None
    price_id: str


def find_changes(
    client: httpx2.Client, key: str, book: PriceBook, since: date, until: date, agent_id: str = ""
) -> Iterator[Change]:
    """Yield the calls whose cost would change; days are UTC, both included; ``client`` has the API as its base_url.

    Raises:
        HistoryAway: the API does not answer, or refuses.
    """
    for row in _rows(client, key, since, until, agent_id):
        change = change_of(book, row)
        if change is not None:
            yield change


def _rows(client: httpx2.Client, key: str, since: date, until: date, agent_id: str) -> Iterator[dict[str, Any]]:
    after = ""
    of_agent = f"AND agent_id = {_quoted(agent_id)} " if agent_id else ""
    while True:
        # Every value is quoted here or our own; the API's guard admits nothing but one SELECT anyway.
        sql = (
            f"SELECT {', '.join(COLUMNS)} FROM spans WHERE kind = 'model_call' AND usage_source IS NOT NULL "  # noqa: S608
            f"AND trace_date BETWEEN DATE '{since - LONGEST_TRACE}' AND DATE '{until}' "
            f"AND started_at >= TIMESTAMP '{since} 00:00:00 UTC' "
            f"AND started_at < TIMESTAMP '{until + timedelta(days=1)} 00:00:00 UTC' "
            f"{of_agent}AND span_id > {_quoted(after)} ORDER BY span_id LIMIT {ROWS_PER_QUESTION}"
        )
        page, is_cut = _ask(client, key, sql)
        yield from page
        if not page or (len(page) < ROWS_PER_QUESTION and not is_cut):
            return
        after = page[-1]["span_id"]


def _ask(client: httpx2.Client, key: str, sql: str) -> tuple[list[dict[str, Any]], bool]:
    try:
        answer = client.post(SQL_PATH, json={"sql": sql}, headers={"Authorization": f"Bearer {key}"})
    except httpx2.TransportError as error:
        raise HistoryAway(f"the API at {client.base_url} does not answer ({error}); is it running?") from None
    if answer.status_code != httpx2.codes.OK:
        raise HistoryAway(f"the API answered {answer.status_code}: {answer.text[:300]}")
    body = answer.json()
    names = [column["name"] for column in body["columns"]]
    return [dict(zip(names, row, strict=True)) for row in body["rows"]], bool(body["truncated"])


def change_of(book: PriceBook, row: dict[str, Any]) -> Change | None:
    """Return what would change for a call, or None; ``row`` has COLUMNS, with ``started_at`` as ISO 8601 text."""
    provider, model = row["provider"] or "", row["model"] or ""
    at_us = _us(row["started_at"])
    price = book.find_price(row["tenant_id"], provider, model, at_us)
    price_id = price.price_id if price is not None else ""
    # The id tells the amounts: the same id is the same cost, hour writes too, which the tables do not tell apart.
    if price_id == (row["price_id"] or ""):
        return None
    was_usd = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
    now_usd = None if price is None else price.cost_usd(_usage(row))
    if was_usd is not None and now_usd is not None and abs(now_usd - was_usd) < _LEAST_USD:
        return None
    if was_usd is now_usd is None:
        return None
    return Change(row["span_id"], row["agent_id"], f"{provider}/{model}", was_usd, now_usd, price_id)


def _usage(row: dict[str, Any]) -> TokenUsage:
    return TokenUsage(
        input_tokens=int(row["input_tokens"] or 0),
        cache_read_tokens=int(row["cache_read_tokens"] or 0),
        cache_write_tokens=int(row["cache_write_tokens"] or 0),
        output_tokens=int(row["output_tokens"] or 0),
    )


def _us(at: str) -> int:
    moment = datetime.fromisoformat(at)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
