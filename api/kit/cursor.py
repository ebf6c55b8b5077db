"""The cursor of a list: an opaque word that says where the next page begins.

Upstream: the list routes.
Downstream: clients send it back as it is.
Guarantee: pages partition the list, newest first, also while new rows arrive; the cursor carries the window and the
filter of the first page, so that all pages are of one list. It is no secret and grants nothing: the tenant comes
from the key.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# datetime ends here; a larger number in a forged cursor must be a 422 and not a crash.
_MAX_US = 253_402_300_799_999_999


class InvalidCursor(ValueError):
    """Not a cursor that we made, or made for another list."""


class _Wire(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What is inside, in order. A new first field makes older cursors invalid, which is what it is for."""

    version: int
    list_name: str
    at_us: int
    item_id: str
    from_us: int | None
    to_us: int | None
    filter: str | None


_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything older than (``at``, ``item_id``) within the window follows."""

    list_name: str
    at: datetime
    item_id: str
    from_at: datetime | None = None
    to_at: datetime | None = None
    filter: str | None = None

    def encode(self) -> str:
        """Return the opaque word."""
        wire = _Wire(
            _VERSION, self.list_name, to_us(self.at), self.item_id, _us(self.from_at), _us(self.to_at), self.filter
        )
        return base64.urlsafe_b64encode(msgspec.json.encode(wire)).decode().rstrip("=")


def decode_cursor(text: str, list_name: str) -> Cursor:
    """Read a cursor of that list.

    Raises:
        InvalidCursor: it is not one.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        wire = msgspec.json.decode(raw, type=_Wire)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise InvalidCursor("not a cursor: send the next_cursor of a page as it is") from error
    instants = (wire.at_us, wire.from_us or 0, wire.to_us or 0)
    if wire.version != _VERSION or wire.list_name != list_name or not all(0 <= us <= _MAX_US for us in instants):
        raise InvalidCursor(f"not a cursor of the list of {list_name}: start again without it")
    return Cursor(list_name, from_us(wire.at_us), wire.item_id, _at(wire.from_us), _at(wire.to_us), wire.filter)


def to_us(at: datetime) -> int:
    """Microseconds since 1970, exact (a float of seconds is not)."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """Instant of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def _us(at: datetime | None) -> int | None:
    return None if at is None else to_us(at)


def _at(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)
