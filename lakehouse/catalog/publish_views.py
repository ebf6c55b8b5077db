"""Creates the views for people, through Trino.

Upstream: lakehouse.contracts.views; the tables must exist.
Downstream: `clawtrace lake views`.
Guarantee: safe to run at any time: a view is replaced in one step, and its owner stays the maintenance user,
whose right to read the tables is what lets tenants read the view and nothing else.
"""

import difflib
from dataclasses import dataclass
from typing import Any

from infra.runtime.trino_connection import connect
from lakehouse.contracts.tables import TABLES, TableSpec
from lakehouse.contracts.views import view_statement
from lakehouse.settings import LakeSettings


@dataclass(frozen=True)
class ViewChange:
    """What was done to one view."""

    view: str
    created: bool
    diff: str

    def describe(self) -> str:
        """Say it; a changed view shows the lines that changed."""
        if self.created:
            return f"{self.view}: created"
        return f"{self.view}: replaced\n{self.diff}" if self.diff else f"{self.view}: as it should be"

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {"view": self.view, "created": self.created, "diff": self.diff}


def publish_views(settings: LakeSettings, tables: tuple[TableSpec, ...] = TABLES) -> tuple[ViewChange, ...]:
    """Create the namespace and create or replace every view."""
    connection = connect(settings, settings.maintenance_user, source="clawtrace lake views")
    cursor = connection.cursor()
    schema = _quoted(settings.catalog_name, settings.view_namespace)
    _run(cursor, f"CREATE SCHEMA IF NOT EXISTS {schema}")
    before = _definitions(cursor, settings)
    for table in tables:
        relation = _quoted(settings.catalog_name, settings.silver_namespace, table.name)
        view = _quoted(settings.catalog_name, settings.view_namespace, table.name)
        _run(cursor, view_statement(table, relation, view))
    after = _definitions(cursor, settings)
    return tuple(_change(table.name, before.get(table.name), after[table.name]) for table in tables)


def _change(view: str, before: str | None, after: str) -> ViewChange:
    lines = difflib.unified_diff((before or "").splitlines(), after.splitlines(), lineterm="", n=0)
    return ViewChange(view, before is None, "\n".join(lines) if before is not None else "")


def _definitions(cursor: Any, settings: LakeSettings) -> dict[str, str]:
    views = _quoted(settings.catalog_name, "information_schema", "views")
    # The catalog's name comes from the settings and is quoted; the rest is a parameter.
    query = f"SELECT table_name, view_definition FROM {views} WHERE table_schema = ?"  # noqa: S608
    rows = _run(cursor, query, [settings.view_namespace])
    return {str(name): str(definition) for name, definition in rows}


def _run(cursor: Any, statement: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
    cursor.execute(statement, parameters)
    rows: list[tuple[Any, ...]] = [tuple(row) for row in cursor.fetchall()]
    return rows


def _quoted(*names: str) -> str:
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
