"""Orders of lists, kept while somebody turns the pages, so that what grows meanwhile does not move.

Upstream: the route of a list that is sorted by something that changes.
Downstream: its next pages.
Guarantee: pure, bounded, one tenant's lists are found by nobody else. A list that is not here any more (another
process, a restart, too many since) is None: its pages then go on behind the last row, as in a list that stands still.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")

MAX_LISTS: Final = 64
MAX_LISTS_PER_TENANT: Final = 8


@dataclass(slots=True)
class FrozenList(Generic[Key]):
    """One list: what the first page showed, and the order of the rest once it was read."""

    shown: frozenset[Key]
    rest: tuple[Key, ...] | None = None
    # Whether there is more behind ``rest`` than was read.
    is_cut: bool = False

    def fix(self, order: Sequence[Key], *, is_cut: bool) -> None:
        """Take the order as it is now, but for what was shown; once."""
        if self.rest is None:
            self.rest, self.is_cut = tuple(key for key in order if key not in self.shown), is_cut


class FrozenLists(Generic[Key]):
    """The newest lists of each tenant. Use it from one thread."""

    def __init__(self) -> None:
        self._lists: OrderedDict[tuple[str, str], FrozenList[Key]] = OrderedDict()

    def begin(self, tenant_id: str, shown: Sequence[Key]) -> str:
        """Note the first page of a list; return the name of the list."""
        name = secrets.token_urlsafe(9)
        self._lists[tenant_id, name] = FrozenList(frozenset(shown))
        mine = [key for key in self._lists if key[0] == tenant_id]
        if len(mine) > MAX_LISTS_PER_TENANT:
            del self._lists[mine[0]]
        while len(self._lists) > MAX_LISTS:
            self._lists.popitem(last=False)
        return name

    def find(self, tenant_id: str, name: str) -> FrozenList[Key] | None:
        """Return a list of this tenant, if it is still here."""
        found = self._lists.get((tenant_id, name))
        if found is not None:
            self._lists.move_to_end((tenant_id, name))
        return found
