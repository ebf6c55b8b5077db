"""A memory of its own for ``SimilarTexts``, outside a stream.

Upstream: whoever compares a list of calls at once.
Downstream: ``similar``.
Guarantee: keeps values while it lives; nothing is written anywhere.
"""

from typing import TypeVar

import msgspec

Value = TypeVar("Value", bound=msgspec.Struct)


class PlainMemory:
    """Values by name."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._values: dict[str, msgspec.Struct] = {}

    def memory(self, name: str, type_: type[Value]) -> Value:
        """Return the value of a name, made when there is none."""
        value = self._values.get(name)
        if value is None:
            value = self._values[name] = type_()
        assert isinstance(value, type_)
        return value

    def change_memory(self, name: str) -> None:
        """Nothing to note: a value changed in place is what the next one gets."""
