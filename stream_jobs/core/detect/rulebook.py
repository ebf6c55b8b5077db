"""The settings of every rule, general, per tenant and per agent.

Upstream: ``<home>/config/rules.toml``.
Downstream: the workspace of a batch, which each rule asks for its settings.
Guarantee: pure; what an override does not name is as in the table above it (agent over tenant over general over
built-in); a wrong file is refused whole, with the field named.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings

_Scope = tuple[str | None, str | None]


class _Override(BaseModel):
    model_config = ConfigDict(extra="allow")

    tenant_id: str
    agent_id: str | None = None


class RuleBook:
    """Settings by rule, tenant and agent."""

    def __init__(self, types: Mapping[AlertRule, type[RuleSettings]], tables: dict[_Scope, dict[str, Any]]) -> None:
        self._types = types
        self._tables = tables
        # Made at once, so that a wrong table is refused now, and an agent without a table of its own costs nothing.
        self._books = {scope: self._make_all(*scope) for scope in {**tables, (None, None): {}}}

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

    def of_agent(self, tenant_id: str, agent_id: str) -> Mapping[AlertRule, RuleSettings]:
        """Return the settings of all rules for an agent."""
        books = self._books
        return books.get((tenant_id, agent_id)) or books.get((tenant_id, None)) or books[None, None]

    def _make_all(self, tenant_id: str | None, agent_id: str | None) -> dict[AlertRule, RuleSettings]:
        return {rule: self._make(rule, tenant_id, agent_id) for rule in self._types}

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
