"""Why a read gave nothing, when it is not the question's fault.

Upstream: engine.py.
Downstream: api/main.py turns each into a status; `clawtrace sql` into an exit code.
Guarantee: the driver's own exceptions never leave the repositories.
"""


class TrinoAway(Exception):
    """Trino does not answer, or is still starting."""


class TooManyQueries(Exception):
    """The tenant, or all of them together, have as many queries running as they may."""


class QueryTimeout(Exception):
    """The query took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The query was ended after {seconds:g} seconds. "
            "Ask for fewer days (trace_date), fewer columns, or aggregate."
        )
