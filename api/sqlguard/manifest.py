"""The views and columns that a SQL text may name, as the guard needs them.

Upstream: lakehouse.contracts.manifest, which follows from the contracts of the topics.
Downstream: admit.py, and the hints of its refusals.
Guarantee: nothing is listed here by hand.
"""

from functools import cache
from types import MappingProxyType

from lakehouse.contracts.manifest import build_manifest


@cache
def view_columns() -> MappingProxyType[str, tuple[str, ...]]:
    """Return the names of the columns by view."""
    return MappingProxyType({view.name: tuple(column.name for column in view.columns) for view in build_manifest()})
