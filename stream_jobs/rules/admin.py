"""What people do to alert rules: list, set, take back.

Upstream: the API, through ``stream_jobs.admin``.
Downstream: Postgres; the stitcher follows within seconds.
Guarantee: what cannot be is refused with the setting's name before anything is written; what is not named in a scope
is as in the layer above it (agent over tenant over the install's file over built-in; in one scope, what was set here
over the file).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, Engine

from infra.runtime.access_keys import AGENT_ID
from infra.runtime.database import transaction
from stream_jobs.contracts.alert import AlertRule, AlertState
from stream_jobs.core.detect.guide import GUIDES, meaning_of
from stream_jobs.core.detect.rulebook import RuleBook, RuleRow
from stream_jobs.core.detect.rules import RULES, SETTINGS_TYPES
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.stitch import read_rules
from stream_jobs.rules import store
from stream_jobs.rules.errors import InvalidRule, NoSuchRule

_log = structlog.get_logger(__name__)

MAX_ROWS_PER_TENANT: Final = 2_000

Layer = Literal["default", "install", "tenant", "agent"]
Also = Callable[[Connection], None]
_SHOWN_ELSEWHERE: Final = frozenset({"description", "default", "title"})


@dataclass(frozen=True, slots=True)
class ListedSetting:
    """One setting: what it is by default, what holds, and which layer decided it."""

    name: str
    description: str
    default: Any
    value: Any
    set_by: Layer
    value_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListedOverride:
    """What was set for the tenant, or for one of its agents."""

    agent_id: str | None
    settings: dict[str, Any]
    is_from_file: bool
    updated_at: datetime | None = None
    updated_by: str | None = None


@dataclass(frozen=True, slots=True)
class ListedRule:
    """One rule as a tenant may see it."""

    rule: AlertRule
    meaning: str
    states: list[AlertState]
    recovery: str
    remedy: str
    settings: list[ListedSetting]
    overrides: list[ListedOverride] = field(default_factory=list)


def list_rules(engine: Engine, rules_file: Path, tenant_id: str, agent_id: str | None) -> list[ListedRule]:
    """Return every rule with what holds for a tenant, or for one of its agents.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    book = _file_book(rules_file)
    with transaction(engine) as connection:
        stored = store.read_rows(connection, tenant_id)
    return [_listed(rule.name, meaning_of(rule), book, stored, tenant_id, agent_id) for rule in RULES]


def set_rule(
    engine: Engine,
    tenant_id: str,
    agent_id: str | None,
    rule: str,
    settings: Mapping[str, Any],
    *,
    who: str,
    also: Also,
) -> None:
    """Set some settings of a rule, in place of those that were set here before for the scope.

    Args:
        settings: JSON values by name; money as text.
        also: done in the same transaction.

    Raises:
        NoSuchRule: there is no rule of this name.
        InvalidRule: a setting cannot be, or the tenant has too many; names the setting.
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    check_settings(rule, settings)
    if agent_id is not None and not AGENT_ID.fullmatch(agent_id):
        raise InvalidRule(f"agent {agent_id!r}: use the name that its key was made with")
    with transaction(engine) as connection:
        store.raise_rev(connection)
        store.write_row(connection, tenant_id, agent_id, rule, settings, who)
        if store.count_rows(connection, tenant_id) > MAX_ROWS_PER_TENANT:
            raise InvalidRule(f"more than {MAX_ROWS_PER_TENANT} are set already; take some back first")
        also(connection)


def remove_rule(engine: Engine, tenant_id: str, agent_id: str | None, rule: str, *, also: Also) -> bool:
    """Take back what was set here; False when nothing was. ``also`` is done in the same transaction.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    with transaction(engine) as connection:
        store.raise_rev(connection)
        found = store.delete_row(connection, tenant_id, agent_id, rule)
        if found:
            also(connection)
        return found


def read_tenant_rules(engine: Engine, tenant_id: str) -> list[RuleRow]:
    """Return what a tenant has set here, for itself and for its agents.

    Raises:
        DatabaseAway: Postgres does not answer or was not migrated.
    """
    with transaction(engine) as connection:
        return [it.row for it in store.read_rows(connection, tenant_id)]


def check_settings(rule: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that a rule cannot have.

    Raises:
        NoSuchRule, InvalidRule: the text says what can be.
    """
    settings_type = next((found for name, found in SETTINGS_TYPES.items() if name == rule), None)
    if settings_type is None:
        raise NoSuchRule(f"there is no rule {rule}")
    try:
        settings_type.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = re.sub(r"^Value error, ", "", first["msg"])
        if first["type"] == "extra_forbidden":
            message = f"there is no such setting; there are {', '.join(settings_type.model_fields)}"
        raise InvalidRule(message, name) from None


def _listed(
    rule: AlertRule,
    meaning: str,
    book: RuleBook,
    stored: Sequence[store.StoredRule],
    tenant_id: str,
    agent_id: str | None,
) -> ListedRule:
    mine = [it for it in stored if it.row.rule == rule]
    overrides = [
        ListedOverride(agent, settings, True)
        for agent, settings in sorted(book.overrides(rule, tenant_id).items(), key=lambda it: it[0] or "")
    ] + [ListedOverride(it.row.agent_id, it.row.settings, False, it.updated_at, it.updated_by) for it in mine]
    layers: list[tuple[Layer, Mapping[str, Any]]] = [("install", book.general(rule))]
    scopes: list[tuple[Layer, str | None]] = [("tenant", None), ("agent", agent_id)]
    for layer, agent in scopes[: 1 if agent_id is None else 2]:
        layers += [(layer, it.settings) for it in overrides if it.agent_id == agent]
    guide = GUIDES[rule]
    return ListedRule(
        rule=rule,
        meaning=meaning,
        states=["ok", *guide.states],
        recovery=guide.recovery,
        remedy=guide.remedy,
        settings=_settings(SETTINGS_TYPES[rule], layers),
        overrides=sorted(overrides, key=lambda it: (it.agent_id or "", not it.is_from_file)),
    )


def _settings(
    settings_type: type[RuleSettings], layers: Sequence[tuple[Layer, Mapping[str, Any]]]
) -> list[ListedSetting]:
    merged: dict[str, Any] = {}
    set_by: dict[str, Layer] = {}
    for layer, values in layers:
        try:
            settings_type.model_validate(merged | dict(values))
        except ValidationError:
            # Written by another version; the stitcher leaves it out as well.
            continue
        merged |= values
        set_by |= dict.fromkeys(values, layer)
    defaults = settings_type().model_dump(mode="json")
    effective = settings_type.model_validate(merged).model_dump(mode="json")
    properties = settings_type.model_json_schema()["properties"]
    return [
        ListedSetting(
            name=name,
            description=properties[name].get("description") or _common_description(name),
            default=defaults[name],
            value=effective[name],
            set_by=set_by.get(name, "default"),
            value_schema={key: value for key, value in properties[name].items() if key not in _SHOWN_ELSEWHERE},
        )
        for name in settings_type.model_fields
    ]


def _common_description(name: str) -> str:
    # A rule that changes only the default of a common setting says nothing about it.
    known = RuleSettings.model_fields.get(name)
    return (known.description if known is not None else None) or ""


def _file_book(rules_file: Path) -> RuleBook:
    try:
        return read_rules(rules_file.read_text())
    except FileNotFoundError:
        return read_rules("")
    except (OSError, ValueError) as error:
        # The stitcher keeps its last good one; what that was is not known here.
        _log.warning("rules_file_broken", file=str(rules_file), reason=str(error))
        return read_rules("")
