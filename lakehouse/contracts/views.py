"""SQL of the views for people: one revision of each row, no internals, the tenant filter inside.

Upstream: lakehouse.contracts.tables.
Downstream: `clawtrace lake views` creates them in Trino; the API and people's own clients read them.
Guarantee: each view alone keeps tenants apart, whatever the access rules say; the filter and any predicate on
key columns lie below the choice of the one row, so that other tenants' and days' files are never opened.
"""

from lakehouse.contracts.tables import TABLES, TableSpec

# Users of Trino as infra.runtime.trino_connection names them (a contract may not import a client library):
# the operator sees all tenants, t_<tenant> sees its own.
OPERATOR_USER = "operator"
TENANT_USER_PREFIX = "t_"


def tenant_filter() -> str:
    """Predicate that leaves the rows that the asking user may see."""
    # Without starts_with, a service user whose name happens to end like a tenant would see that tenant.
    after_prefix = len(TENANT_USER_PREFIX) + 1
    return (
        f"(current_user = '{OPERATOR_USER}' OR (starts_with(current_user, '{TENANT_USER_PREFIX}') "
        f"AND tenant_id = substr(current_user, {after_prefix})))"
    )


def view_query(table: TableSpec, relation: str) -> str:
    """Query of the view over a table; ``relation`` is the table's full name in SQL."""
    if table.reading == "extent":
        return _extent_query(table, relation)
    columns = ", ".join(_quoted(column.name) for column in table.visible_columns)
    order = "rev ASC" if table.reading == "oldest" else "rev DESC"
    if table.tie_break:
        order = f"{order}, {table.tie_break}"
    place = f"row_number() OVER (PARTITION BY {', '.join(table.key)} ORDER BY {order}) AS place"
    lines = (
        f"SELECT {columns}",
        "FROM (",
        f"  SELECT {columns}, {place}",
        f"  FROM {relation}",
        f"  WHERE {tenant_filter()}",
        ")",
        "WHERE place = 1",
    )
    return "\n".join(lines)


def view_statement(table: TableSpec, relation: str, view: str) -> str:
    """Statement that creates or replaces the view; SECURITY DEFINER lets users read it without the table."""
    return (
        f"CREATE OR REPLACE VIEW {view}\nCOMMENT {_text(table.doc)}\nSECURITY DEFINER AS\n{view_query(table, relation)}"
    )


def view_names() -> tuple[str, ...]:
    """Names of all views: the plain names of the tables."""
    return tuple(table.name for table in TABLES)


def _extent_query(table: TableSpec, relation: str) -> str:
    key = ", ".join(table.key)
    return (
        f"SELECT {key}, min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at\n"
        f"FROM {relation}\n"
        f"WHERE {tenant_filter()}\n"
        f"GROUP BY {key}"
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
