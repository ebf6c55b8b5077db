"""Who may see what in Trino, as data: the file-based access control of the query engine.

Upstream: the user names of infra.runtime.trino_connection; the view names are listed here.
Downstream: `clawtrace trino rules --write` puts the JSON where Trino reads it again every two seconds.
Guarantee: a tenant's user reads its own rows of nine views and nothing else, whatever SQL it sends. No other
code takes part in that promise: the SQL guard of the API only makes refusals readable. The views filter by
tenant too, so that either layer alone isolates.
"""

import json
from typing import Any, Final

from infra.runtime.trino_connection import API, MAINTENANCE, OPERATOR, TENANT_ID_PATTERN, TENANT_USER_PREFIX

VIEW_SCHEMA: Final = "clawtrace"
TABLE_SCHEMA: Final = "silver"
# One view, one silver table of the same name. lakehouse owns them; a test holds the two lists together.
VIEWS: Final = ("agents", "alerts", "cards", "edges", "events", "scores", "spans", "tenants", "traces", "verdicts")

TENANT_USERS: Final = f"{TENANT_USER_PREFIX}{TENANT_ID_PATTERN}"
ROW_FILTER: Final = f"tenant_id = substr(current_user, {len(TENANT_USER_PREFIX) + 1})"

# ALTER TABLE ... EXECUTE (optimize, expire_snapshots) asks the file rules for no privilege at all, not even when
# the catalog is read-only; but Trino refuses it on a table with a row filter. So everybody but maintenance has
# one on every table. Without it a tenant's user can expire the snapshots of all tenants (tried).
_NO_UPKEEP: Final = "true"

Rule = dict[str, Any]
Rules = dict[str, list[Rule]]


def access_rules(catalog: str = "iceberg", view_schema: str = VIEW_SCHEMA, table_schema: str = TABLE_SCHEMA) -> Rules:
    """Return every rule. The first that matches decides; where none matches the answer is no.

    Every section must be there: Trino allows everything in a section that is missing.
    """
    return {
        "catalogs": [
            {"user": MAINTENANCE, "catalog": catalog, "allow": "all"},
            {"user": f"{TENANT_USERS}|{OPERATOR}|{API}", "catalog": catalog, "allow": "read-only"},
            # DBeaver and other JDBC tools list tables through system.jdbc. Only the operator may.
            {"user": OPERATOR, "catalog": "system", "allow": "read-only"},
            {"allow": "none"},
        ],
        "schemas": [{"user": MAINTENANCE, "catalog": catalog, "owner": True}, {"owner": False}],
        "tables": _table_rules(catalog, view_schema, table_schema),
        # Built-in functions are always allowed; an empty list refuses table functions such as table_changes,
        # which read a table past its rules, and functions that somebody might create.
        "functions": [],
        # CALL iceberg.system.rollback_to_snapshot and its like. Upkeep uses ALTER TABLE ... EXECUTE instead.
        "procedures": [],
        "system_session_properties": [{"user": MAINTENANCE, "allow": True}, {"allow": False}],
        "catalog_session_properties": [{"user": MAINTENANCE, "catalog": catalog, "allow": True}, {"allow": False}],
        # Everybody may look at and end the queries of their own; that needs no rule.
        "queries": [
            {"user": OPERATOR, "allow": ["execute", "view", "kill"]},
            {"user": f"{TENANT_USERS}|{MAINTENANCE}|{API}", "allow": ["execute"]},
        ],
        "impersonation": [
            {"original_user": API, "new_user": TENANT_USERS, "allow": True},
            {"original_user": ".*", "new_user": ".*", "allow": False},
        ],
        "system_information": [],
        "authorization": [],
    }


def rules_json(rules: Rules) -> str:
    """Text of the rules file."""
    return json.dumps(rules, indent=2) + "\n"


def _table_rules(catalog: str, view_schema: str, table_schema: str) -> list[Rule]:
    # Anchored by Trino itself: `spans` does not match `spans$files`, so metadata tables stay shut. A pattern
    # that let them in would show the statistics of all tenants, which no row filter covers.
    views = "|".join(VIEWS)
    return [
        {
            "user": TENANT_USERS,
            "catalog": catalog,
            "schema": view_schema,
            "table": views,
            "privileges": ["SELECT"],
            "filter": ROW_FILTER,
        },
        {
            "user": MAINTENANCE,
            "catalog": catalog,
            "privileges": ["SELECT", "INSERT", "DELETE", "UPDATE", "OWNERSHIP", "GRANT_SELECT"],
        },
        {
            "user": OPERATOR,
            "catalog": catalog,
            "schema": f"{view_schema}|{table_schema}",
            "privileges": ["SELECT"],
            "filter": _NO_UPKEEP,
        },
        {"user": OPERATOR, "catalog": "system", "schema": "jdbc", "privileges": ["SELECT"]},
        # The ids of the newest snapshots, which the API puts beside a result so that it can be run again.
        {
            "user": API,
            "catalog": catalog,
            "schema": table_schema,
            "table": rf"({views})\$refs",
            "privileges": ["SELECT"],
        },
        {"privileges": [], "filter": "false"},  # a filter here too: see _NO_UPKEEP
    ]
