"""Writes a price into a price file without touching the rest of it.

Upstream: ``clawtrace prices set``.
Downstream: ``<home>/config/prices.toml``, which gateway and stitcher read again when it changes.
Guarantee: comments and other rows stay byte for byte; the file is replaced whole, by one that was read back first, so
no reader ever sees half of it or a list that is refused.
"""

import os
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, Final

from producers.contracts.pricing.overrides import PriceOverride, parse_overrides

_ROW: Final = re.compile(r"^[ \t]*\[\[[ \t]*price[ \t]*\]\]", re.MULTILINE)
_FILE_MODE: Final = 0o644


class CannotWrite(Exception):
    """The file cannot take the price; the text says why and what to do."""


def set_price(path: Path, fields: dict[str, Any]) -> bool:
    """Add a row, or put it in the place of the one for the same model, tenant and first day; return whether it was new.

    Raises:
        CannotWrite: the file or the price is wrong, or the row there has tiers.
    """
    text = path.read_text() if path.exists() else ""
    try:
        rows = parse_overrides(text)
    except ValueError as error:
        raise CannotWrite(f"{path}: {error}; put that right first") from None
    block = _block_of(fields)
    try:
        (row,) = parse_overrides(block)
    except ValueError as error:
        raise CannotWrite(str(error)) from None
    starts = [match.start() for match in _ROW.finditer(text)]
    if len(starts) != len(rows):
        raise CannotWrite(f"{path}: its prices are not all [[price]] tables; edit it by hand")
    place = next((number for number, it in enumerate(rows) if _place(it) == _place(row)), None)
    if place is None:
        changed = f"{text.rstrip()}\n\n{block}" if text.strip() else block
    else:
        if rows[place].tiers:
            raise CannotWrite(f"{path}: {row.provider}/{row.model} has tiers there; edit it by hand")
        end = starts[place + 1] if place + 1 < len(starts) else len(text)
        changed = text[: starts[place]] + block + _trailer(text[starts[place] : end]) + text[end:]
    _replace(path, changed)
    return place is None


def _place(row: PriceOverride) -> tuple[object, ...]:
    return (*row.key, row.tenant_id, row.effective_from)


def _block_of(fields: dict[str, Any]) -> str:
    lines = ["[[price]]"]
    for name, value in fields.items():
        if value is not None:
            lines.append(f"{name} = {value.isoformat() if isinstance(value, date) else _quoted(str(value))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    # A basic string of TOML is one of JSON, as long as no control character is written as it is.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(it if it.isprintable() else f"\\u{ord(it):04x}" for it in escaped) + '"'


def _trailer(block: str) -> str:
    """Return the empty lines and comments after a row's last field: they belong to what follows."""
    lines = block.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#"))
    return "".join(lines[last + 1 :])


def _replace(path: Path, text: str) -> None:
    try:
        parse_overrides(text)
    except ValueError as error:
        raise CannotWrite(f"{path}: with this price the list would be wrong: {error}") from None
    mode = path.stat().st_mode & 0o777 if path.exists() else _FILE_MODE
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
