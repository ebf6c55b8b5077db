"""Reads what models cost a tenant, and writes its own prices.

Upstream: the price file of the install, which gateway and stitcher read too; the published lists.
Downstream: api/routers/prices.py, api/reprice/service.py.
Guarantee: of the file a tenant sees its own rows and those for all, and writes its own only; every change has its audit
row, written before the file and taken back when that cannot be written.
"""

import asyncio
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from api.kit.instants import to_us
from api.kit.values import json_value
from api.repositories.control import note, transact
from api.repositories.scope import Scope
from producers.contracts.pricing.book import PriceBook, noon_us
from producers.contracts.pricing.overrides import ANY_MODEL, PriceOverride
from stream_jobs.prices.price_file import CannotWrite, FileFault, read_rows, remove_price, set_price
from stream_jobs.prices.show import NoPrice as NoPrice
from stream_jobs.prices.show import listed_prices, one_price

_log = structlog.get_logger(__name__)

MAX_OWN_ROWS: Final = 500
_MAX_BOOKS: Final = 32
_BROKEN: Final = "the price file of this install has a mistake; its operator sees it with clawtrace prices check"

_Seen = tuple[int, int, int]


class PricesBroken(Exception):
    """The price file cannot be read or written; the text is for tenants."""


class InvalidPrice(ValueError):
    """A price that cannot be; ``field`` names the part."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class PricesRepository:
    """Prices as they hold for one tenant."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine, self._path = engine, path
        self._book_of = lru_cache(maxsize=_MAX_BOOKS)(self._make_book)

    async def read_book(self, scope: Scope) -> PriceBook:
        """Return the tenant's price list.

        Raises:
            PricesBroken: the file is wrong.
        """
        return await asyncio.to_thread(self._book, scope.tenant_id)

    async def list_all(
        self, scope: Scope, provider: str, model: str, day: date, *, only_overrides: bool
    ) -> list[dict[str, Any]]:
        """Return the price of every model of a provider, or with a text in its name.

        Raises:
            PricesBroken: the file is wrong.
        """

        def work() -> list[dict[str, Any]]:
            rows = listed_prices(self._book(scope.tenant_id), provider, model, scope.tenant_id, day)
            marked = [{**row, "is_override": _is_override(row["price_id"])} for row in rows]
            return [row for row in marked if row["is_override"] or not only_overrides]

        return await asyncio.to_thread(work)

    async def find(self, scope: Scope, provider: str, model: str, at: datetime) -> dict[str, Any]:
        """Return all that is known of one model's price at an instant.

        Raises:
            NoPrice: no list knows the model.
            PricesBroken: the file is wrong.
        """
        return await asyncio.to_thread(
            lambda: _one(self._book(scope.tenant_id), provider, model, scope.tenant_id, to_us(at))
        )

    async def list_overrides(self, scope: Scope) -> list[PriceOverride]:
        """Return the rows of the file that are the tenant's or for all, in the order of the file.

        Raises:
            PricesBroken: the file is wrong.
        """
        return list((await self.read_book(scope)).overrides)

    async def set_override(self, scope: Scope, values: dict[str, Any], *, actor: str) -> PriceOverride:
        """Write a row of the tenant, in place of its own one for the same model and first day.

        Raises:
            InvalidPrice: it cannot be.
            PricesBroken: the file is wrong or cannot be written.
        """
        row = _checked(values, scope.tenant_id)

        def work(connection: Connection) -> PriceOverride:
            self._check_room(scope.tenant_id)
            details = json_value({name: value for name, value in values.items() if value is not None})
            note(connection, scope.tenant_id, actor, "price.set", f"{row.provider}/{row.model}", details)
            self._write(lambda: set_price(self._path, {**values, "tenant_id": scope.tenant_id}))
            return row

        return await transact(self._engine, work)

    async def remove_override(
        self, scope: Scope, provider: str, model: str, effective_from: date | None, *, actor: str
    ) -> bool:
        """Take a row of the tenant out; False when there is none.

        Raises:
            PricesBroken: the file is wrong or cannot be written.
        """

        def work(connection: Connection) -> bool:
            found = self._write(
                lambda: remove_price(
                    self._path,
                    provider=provider,
                    model=model,
                    tenant_id=scope.tenant_id,
                    effective_from=effective_from,
                )
            )
            if found:
                details = {"effective_from": effective_from.isoformat() if effective_from else None}
                note(connection, scope.tenant_id, actor, "price.remove", f"{provider}/{model}", details)
            return found

        return await transact(self._engine, work)

    async def check(
        self, scope: Scope, values: dict[str, Any]
    ) -> tuple[bool, dict[str, Any] | None, dict[str, Any] | None]:
        """Return whether a row would be new, and the model's price before and after; nothing is written.

        Raises:
            InvalidPrice: it cannot be.
            PricesBroken: the file is wrong.
        """
        row = _checked(values, scope.tenant_id)

        def work() -> tuple[bool, dict[str, Any] | None, dict[str, Any] | None]:
            book = self._book(scope.tenant_id)
            others = [it for it in book.overrides if _place(it) != _place(row)]
            is_new = len(others) == len(book.overrides)
            if row.model == ANY_MODEL:
                return is_new, None, None
            at_us = noon_us(row.effective_from or datetime.now(UTC).date())
            found: list[dict[str, Any] | None] = []
            for one in (book, PriceBook([*others, row])):
                try:
                    found.append(_one(one, row.provider, row.model, scope.tenant_id, at_us))
                except NoPrice:
                    found.append(None)
            return is_new, found[0], found[1]

        return await asyncio.to_thread(work)

    def _check_room(self, tenant_id: str) -> None:
        own = sum(it.tenant_id == tenant_id for it in self._book(tenant_id).overrides)
        if own >= MAX_OWN_ROWS:
            raise InvalidPrice(f"the tenant has {own} prices of its own; take some back first")

    def _write(self, change: Any) -> bool:
        try:
            return bool(change())
        except (FileFault, OSError) as error:
            _log.error("price_file_not_written", file=str(self._path), reason=str(error))
            raise PricesBroken(_BROKEN) from None
        except CannotWrite as error:
            raise _invalid(str(error).removeprefix(f"{self._path}: ")) from None

    def _book(self, tenant_id: str) -> PriceBook:
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = (0, 0, 0)
        return self._book_of(tenant_id, seen)

    def _make_book(self, tenant_id: str, seen: _Seen) -> PriceBook:
        try:
            rows = read_rows(self._path)
        except (ValueError, OSError) as error:
            _log.error("price_file_broken", file=str(self._path), reason=str(error))
            raise PricesBroken(_BROKEN) from None
        # Names of models that only other tenants have are theirs, too.
        return PriceBook([row for row in rows if row.tenant_id in (None, tenant_id)])


def _checked(values: dict[str, Any], tenant_id: str) -> PriceOverride:
    try:
        return PriceOverride.model_validate({**values, "tiers": values["tiers"] or (), "tenant_id": tenant_id})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            raise InvalidPrice(message, ".".join(map(str, first["loc"]))) from None
        raise _invalid(message) from None


def _invalid(message: str) -> InvalidPrice:
    # What concerns several fields begins with the one that is to be changed.
    name = message.replace(":", " ").partition(" ")[0]
    return InvalidPrice(message, name if name in PriceOverride.model_fields else "")


def _one(book: PriceBook, provider: str, model: str, tenant_id: str, at_us: int) -> dict[str, Any]:
    found = one_price(book, provider, model, tenant_id, at_us)
    return {**found, "is_override": _is_override(found["price_id"])}


def _is_override(price_id: str) -> bool:
    return price_id.startswith("override:")


def _place(row: PriceOverride) -> tuple[object, ...]:
    return (*row.key, row.tenant_id, row.effective_from)
