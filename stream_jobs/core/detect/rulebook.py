"""The settings of every rule, general, per tenant and per agent.

Upstream: ``<home>/config/rules.toml``; what tenants set through the API (``stream_jobs.rules``).
Downstream: the workspace of a batch, which each rule asks for its settings.
Guarantee: pure; what an override does not name is as in the table above it (agent over tenant over general over
built-in); a wrong file is refused whole, with the field named; a wrong row of a tenant is left out alone.
"""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings

_Scope = tuple[str | None, str | None]

# Each rule has a table of settings; one more says when a silent run is closed.
TableName = AlertRule | Literal["closing"]


class _Override(BaseModel):
    model_config = ConfigDict(extra="allow")

    tenant_id: str
    agent_id: str | None = None


class RuleRow(msgspec.Struct, frozen=True, array_like=True):
    """What a tenant has set of one rule, for itself or for one of its agents."""

    tenant_id: str
    agent_id: str | None
    rule: str
    settings: dict[str, Any]


class RuleBook:
    """Settings by rule, tenant and agent."""

    def __init__(self, types: Mapping[TableName, type[RuleSettings]], tables: dict[_Scope, dict[str, Any]]) -> None:
        self._types = types
        self._tables = tables
        # Made at once, so that a wrong table is refused now, and an agent without a table of its own costs nothing.
        self._books = {scope: self._make_all(*scope) for scope in {**tables, (None, None): {}}}

    @classmethod
    def from_toml(cls, text: str, types: Mapping[TableName, type[RuleSettings]]) -> "RuleBook":
        """Read a table per rule, and ``[[override]]`` tables with tenant_id, perhaps agent_id, and tables per rule.

        Raises:
            ValueError: not TOML, or not such tables; the text names the field.
        """
        general = tomllib.loads(text)
        overrides = general.pop("override", [])
        if not isinstance(overrides, list):
            raise ValueError("override: write [[override]], with two brackets: there may be many")
        tables: dict[_Scope, dict[str, Any]] = {(None, None): _checked(general, types, "rules")}
        for number, raw in enumerate(overrides, start=1):
            override = _Override.model_validate(raw)
            scope = (override.tenant_id, override.agent_id)
            if scope in tables:
                raise ValueError(f"override {number}: a second one for {override.tenant_id} {override.agent_id or ''}")
            tables[scope] = _checked(override.model_extra or {}, types, f"override {number}")
        return cls(types, tables)

    def with_rows(self, rows: Iterable[RuleRow]) -> tuple["RuleBook", list[str]]:
        """Return a book in which rows lie over the tables of the same scope, and why rows were left out."""
        tables = {scope: {rule: dict(values) for rule, values in of.items()} for scope, of in self._tables.items()}
        refused = []
        for row in rows:
            settings_type = next((found for name, found in self._types.items() if name == row.rule), None)
            values = tables.get((row.tenant_id, row.agent_id), {}).get(row.rule, {}) | row.settings
            try:
                if settings_type is None:
                    raise ValueError("there is no such rule")
                settings_type.model_validate(values)
            except ValueError as error:
                refused.append(f"{row.tenant_id} {row.agent_id or ''} {row.rule}: {error}")
                continue
            tables.setdefault((row.tenant_id, row.agent_id), {})[row.rule] = values
        return RuleBook(self._types, tables), refused

    def general(self, rule: TableName) -> dict[str, Any]:
        """Return what the general table of a rule names."""
        return dict(self._tables.get((None, None), {}).get(rule, {}))

    def overrides(self, rule: TableName, tenant_id: str) -> dict[str | None, dict[str, Any]]:
        """Return what a tenant's own tables name of a rule, by agent; None is all of the tenant."""
        return {
            agent_id: dict(table[rule])
            for (tenant, agent_id), table in self._tables.items()
            if tenant == tenant_id and rule in table
        }

    def of_agent(self, tenant_id: str, agent_id: str) -> Mapping[TableName, RuleSettings]:
        """Return the settings of all rules for an agent."""
        books = self._books
        return books.get((tenant_id, agent_id)) or books.get((tenant_id, None)) or books[None, None]

    def _make_all(self, tenant_id: str | None, agent_id: str | None) -> dict[TableName, RuleSettings]:
        return {rule: self._make(rule, tenant_id, agent_id) for rule in self._types}

    def _make(self, rule: TableName, tenant_id: str | None, agent_id: str | None) -> RuleSettings:
        merged: dict[str, Any] = {}
        for scope in ((None, None), (tenant_id, None), (tenant_id, agent_id)):
            merged |= self._tables.get(scope, {}).get(rule, {})
        try:
            return self._types[rule].model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in (rule, *first["loc"]))
            raise ValueError(f"{field}: {first['msg']} (got {first['input']!r})") from error


def _checked(
    tables: Mapping[str, Any], types: Mapping[TableName, type[RuleSettings]], where: str
) -> dict[str, dict[str, Any]]:
    for name, table in tables.items():
        if name not in types:
            raise ValueError(f"{where}: there is no rule {name!r}; there are: {', '.join(sorted(types))}")
        if not isinstance(table, dict):
            raise ValueError(f"{where}: write a table [{name}]")
    return {name: dict(table) for name, table in tables.items()}
