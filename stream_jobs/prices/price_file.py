"""Writes a price into a price file, or takes one out, without touching the rest of it.

Upstream: ``clawtrace prices set``; the API.
Downstream: ``<home>/config/prices.toml``, which gateway and stitcher read again when it changes.
Guarantee: comments and other rows stay byte for byte; the file is replaced whole, by one that was read back first, so
no reader ever sees half of it or a list that is refused. Writers on one machine take turns.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from producers.contracts.pricing.overrides import PriceOverride, parse_overrides

_ROW: Final = re.compile(r"^[ \t]*\[\[[ \t]*price[ \t]*\]\]", re.MULTILINE)
_FILE_MODE: Final = 0o644


class CannotWrite(Exception):
    """The file cannot take the price; the text says why and what to do."""


class FileFault(CannotWrite):
    """The file as it is stands in the way, whatever the price."""


class HasTiers(CannotWrite):
    """The row to be replaced has tiers, and nothing is said of them."""


def read_rows(path: Path) -> list[PriceOverride]:
    """Return the rows of a price file; no file is an empty one.

    Raises:
        ValueError: the file is wrong; the text names row and field.
    """
    return parse_overrides(path.read_text()) if path.exists() else []


def set_price(path: Path, fields: dict[str, Any]) -> bool:
    """Add a row, or put it in the place of the one for the same model, tenant and first day; return whether it was new.

    Args:
        fields: as in PriceOverride; without ``tiers`` (or None) a row that has some is not replaced, so that nobody
            who knows nothing of them takes them away; none at all is [].

    Raises:
        CannotWrite: the price is wrong; as HasTiers: the row there has some; as FileFault: the file is wrong.
    """
    block = _block_of(fields)
    try:
        (row,) = parse_overrides(block)
    except ValueError as error:
        raise CannotWrite(str(error)) from None
    with _turn(path):
        return _set(path, row, block, knows_tiers=fields.get("tiers") is not None)


def remove_price(path: Path, *, provider: str, model: str, tenant_id: str | None, effective_from: date | None) -> bool:
    """Take a row out, with its tiers; return whether there was one.

    Raises:
        FileFault: the file is wrong.
    """
    wanted = (provider.lower(), model.lower(), tenant_id, effective_from)
    with _turn(path):
        text, rows, starts = _read(path)
        place = next((number for number, it in enumerate(rows) if _place(it) == wanted), None)
        if place is None:
            return False
        end = starts[place + 1] if place + 1 < len(starts) else len(text)
        _replace(path, text[: starts[place]] + _trailer(text[starts[place] : end]).lstrip("\n") + text[end:])
        return True


def _read(path: Path) -> tuple[str, list[PriceOverride], list[int]]:
    text = path.read_text() if path.exists() else ""
    try:
        rows = parse_overrides(text)
    except ValueError as error:
        raise FileFault(f"{path}: {error}; put that right first") from None
    starts = [match.start() for match in _ROW.finditer(text)]
    if len(starts) != len(rows):
        raise FileFault(f"{path}: its prices are not all [[price]] tables; edit it by hand")
    return text, rows, starts


def _set(path: Path, row: PriceOverride, block: str, *, knows_tiers: bool) -> bool:
    text, rows, starts = _read(path)
    place = next((number for number, it in enumerate(rows) if _place(it) == _place(row)), None)
    if place is None:
        changed = f"{text.rstrip()}\n\n{block}" if text.strip() else block
    else:
        if rows[place].tiers and not knows_tiers:
            raise HasTiers(
                f"tiers: {row.provider}/{row.model} has prices of longer prompts; name them again, or say that there "
                "shall be none"
            )
        end = starts[place + 1] if place + 1 < len(starts) else len(text)
        changed = text[: starts[place]] + block + _trailer(text[starts[place] : end]) + text[end:]
    _replace(path, changed)
    return place is None


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The folder and not the file: that is replaced, and a lock on the old one would lock nothing.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _place(row: PriceOverride) -> tuple[object, ...]:
    return (*row.key, row.tenant_id, row.effective_from)


def _block_of(fields: dict[str, Any]) -> str:
    lines = ["[[price]]", *_lines_of({name: value for name, value in fields.items() if name != "tiers"})]
    for tier in fields.get("tiers") or ():
        lines += ["", "[[price.tiers]]", *_lines_of(tier)]
    return "\n".join(lines) + "\n"


def _lines_of(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        match value:
            case None:
                continue
            case date():
                yield f"{name} = {value.isoformat()}"
            case int():
                yield f"{name} = {value}"
            case _:
                yield f"{name} = {_quoted(str(value))}"


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
        raise FileFault(f"{path}: with this price the list would be wrong: {error}") from None
    mode = path.stat().st_mode & 0o777 if path.exists() else _FILE_MODE
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
