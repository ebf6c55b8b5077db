"""Our own price list, as the guards of agents need it.

Upstream: ``<home>/config/prices.toml``, the file the stitcher reads too.
Downstream: the gateway's guard state.
Guarantee: a broken file never stops the gateway: the last good list stays in force, with an error in the log and a
metric until the file is right again.
"""

import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import structlog

from producers.contracts.guard import GuardPrice
from producers.metrics import GUARD_PRICES_BROKEN

_log = structlog.get_logger(__name__)


class _PriceRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    model: str
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    effective_from: date | None = None
    tenant_id: str | None = None


class _PriceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: list[_PriceRow] = []


class PriceList:
    """The file and its last good content; ``refresh`` it from time to time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._rows: list[_PriceRow] = []
        self.changed_at_us = 0
        self.refresh()

    def refresh(self) -> bool:
        """Read the file when it is another than last time; return whether the list changed."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return False
            text = self._path.read_text()
        except FileNotFoundError:
            GUARD_PRICES_BROKEN.set(0)
            if self._seen is None:
                return False
            self._seen, self._rows = None, []
            return True
        except OSError as error:
            self._refuse(error)
            return False
        self._seen = seen
        try:
            rows = parse_prices(text)
        except (ValueError, msgspec.MsgspecError) as error:
            self._refuse(error)
            return False
        GUARD_PRICES_BROKEN.set(0)
        self._rows = rows
        self.changed_at_us = status.st_mtime_ns // 1000
        return True

    def of_tenant(self, tenant_id: str, on: date | None = None) -> list[GuardPrice]:
        """Return the prices that hold for a tenant on a day (default: today); its own beat those for all."""
        day = on or datetime.now(UTC).date()
        best: dict[tuple[str, str], _PriceRow] = {}
        for row in self._rows:
            if row.tenant_id not in (None, tenant_id) or (row.effective_from or date.min) > day:
                continue
            key = (row.provider.lower(), row.model.lower())
            # The same choice as the stitcher's: own first, then the newest.
            if key not in best or _rank(row) > _rank(best[key]):
                best[key] = row
        return [
            GuardPrice(
                provider=row.provider,
                model=row.model,
                input_usd_per_mtok=row.input_usd_per_mtok,
                output_usd_per_mtok=row.output_usd_per_mtok,
                cache_read_usd_per_mtok=row.cache_read_usd_per_mtok,
                cache_write_usd_per_mtok=row.cache_write_usd_per_mtok,
            )
            for _, row in sorted(best.items())
        ]

    def _refuse(self, error: Exception) -> None:
        GUARD_PRICES_BROKEN.set(1)
        _log.error("prices_broken", file=str(self._path), error=str(error), in_force="the last good version")


def parse_prices(text: str) -> list[_PriceRow]:
    """Read ``[[price]]`` tables.

    Raises:
        ValueError: not TOML, or an amount that is a float.
        msgspec.ValidationError: not such tables; the text names the field.
    """
    tables = tomllib.loads(text, parse_float=_refuse_float)
    return msgspec.convert(tables, _PriceFile).price


def _refuse_float(text: str) -> Any:
    raise ValueError(f'{text}: write money as text, for instance "0.30": a float is not exact')


def _rank(row: _PriceRow) -> tuple[str, date]:
    return row.tenant_id or "", row.effective_from or date.min
