"""What the settings of rules are refused with.

Upstream: ``admin``.
Downstream: whoever sets rules for people.
Guarantee: the text says what can be; ``field`` is the setting's name.
"""


class NoSuchRule(ValueError):
    """There is no rule of this name."""


class InvalidRule(ValueError):
    """A setting that cannot be."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
