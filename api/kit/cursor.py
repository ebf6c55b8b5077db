"""The cursor of a list: an opaque word that says where the next page begins.

Upstream: the list routes.
Downstream: clients send it back as it is.
Guarantee: pages partition the list, also while new rows arrive: the cursor carries the sort, the whole key of the
last row (two agents may have a trace of the same id), the window and the filters of the first page, so that all pages
are of one list. It is no secret and grants nothing: the tenant comes from the key.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from api.kit.instants import from_us, to_us

# datetime ends here; a larger number in a forged cursor must be a 422 and not a crash.
_MAX_US = 253_402_300_799_999_999
_MAX_INTEGER = 2**63 - 1

Filters = dict[str, str | bool | int]


class InvalidCursor(ValueError):
    """Not a cursor that we made, or made for another list."""


class _Wire(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is inside, in order. A new first field makes older cursors invalid, which is what it is for."""

    version: int
    list_name: str
    sort: str
    value: int | str
    key: list[str]
    from_us: int | None
    to_us: int | None
    filters: dict[str, str | bool | int]


_VERSION = 2


@dataclass(frozen=True, slots=True)
class Cursor:
    """What follows the row with this sort value and this key.

    ``value`` is an integer (instants as microseconds) or a decimal as text.
    """

    list_name: str
    sort: str
    value: int | str
    key: tuple[str, ...]
    from_at: datetime | None = None
    to_at: datetime | None = None
    filters: Filters = field(default_factory=dict)

    @property
    def at(self) -> datetime:
        """The sort value as an instant.

        Raises:
            InvalidCursor: it is none.
        """
        if not isinstance(self.value, int) or not 0 <= self.value <= _MAX_US:
            raise InvalidCursor("not a cursor: its instant is none")
        return from_us(self.value)

    def encode(self) -> str:
        """Return the opaque word."""
        wire = _Wire(
            _VERSION,
            self.list_name,
            self.sort,
            self.value,
            list(self.key),
            _us(self.from_at),
            _us(self.to_at),
            self.filters,
        )
        return base64.urlsafe_b64encode(msgspec.json.encode(wire)).decode().rstrip("=")


def decode_cursor(text: str, list_name: str, num_keys: int = 1) -> Cursor:
    """Read a cursor of that list, whose key has ``num_keys`` parts.

    Raises:
        InvalidCursor: it is not one.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        wire = msgspec.json.decode(raw, type=_Wire)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("not a cursor: send the next_cursor of a page as it is") from error
    instants = (wire.from_us or 0, wire.to_us or 0)
    if (
        wire.version != _VERSION
        or wire.list_name != list_name
        or len(wire.key) != num_keys
        or not all(0 <= us <= _MAX_US for us in instants)
        or (isinstance(wire.value, int) and abs(wire.value) > _MAX_INTEGER)
    ):
        raise InvalidCursor(f"not a cursor of the list of {list_name}: start again without it")
    return Cursor(
        list_name,
        wire.sort,
        wire.value,
        tuple(wire.key),
        _at(wire.from_us),
        _at(wire.to_us),
        wire.filters,
    )


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
