"""The settings of every rule, general, per tenant and per agent.

Upstream: ``<home>/config/rules.toml``; what tenants set through the API (``stream_jobs.rules``).
Downstream: each rule asks for its settings with each fact.
Guarantee: pure; what an override does not name is as in the table above it (agent over tenant over general over
built-in); a wrong file is refused whole, with the field named; a wrong row of a tenant is left out alone.
"""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings

Settings = TypeVar("Settings", bound=RuleSettings)
_Scope = tuple[str | None, str | None]


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

    def __init__(self, types: Mapping[AlertRule, type[RuleSettings]], tables: dict[_Scope, dict[str, Any]]) -> None:
        self._types = types
        self._tables = tables
        self._found: dict[tuple[str, str, str], RuleSettings] = {}
        for scope, table in tables.items():
            for rule in types:
                # What a scope does not name is as in the scope above it, which was looked at already.
                if rule in table:
                    self._make(rule, *scope)

    @classmethod
    def from_toml(cls, text: str, types: Mapping[AlertRule, type[RuleSettings]]) -> "RuleBook":
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

    def general(self, rule: AlertRule) -> dict[str, Any]:
        """Return what the general table of a rule names."""
        return dict(self._tables.get((None, None), {}).get(rule, {}))

    def overrides(self, rule: AlertRule, tenant_id: str) -> dict[str | None, dict[str, Any]]:
        """Return what a tenant's own tables name of a rule, by agent; None is all of the tenant."""
        return {
            agent_id: dict(table[rule])
            for (tenant, agent_id), table in self._tables.items()
            if tenant == tenant_id and rule in table
        }

    def find(self, rule: AlertRule, settings_type: type[Settings], tenant_id: str, agent_id: str) -> Settings:
        """Return the settings of a rule for an agent."""
        key = (rule, tenant_id, agent_id)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._make(rule, tenant_id, agent_id)
        assert isinstance(found, settings_type)
        return found

    def _make(self, rule: AlertRule, tenant_id: str | None, agent_id: str | None) -> RuleSettings:
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
    tables: Mapping[str, Any], types: Mapping[AlertRule, type[RuleSettings]], where: str
) -> dict[str, dict[str, Any]]:
    for name, table in tables.items():
        if name not in types:
            raise ValueError(f"{where}: there is no rule {name!r}; there are: {', '.join(sorted(types))}")
        if not isinstance(table, dict):
            raise ValueError(f"{where}: write a table [{name}]")
    return {name: dict(table) for name, table in tables.items()}
