"""What GET /v1/agents/{agent_id}/configs and its children answer.

Upstream: api/repositories/configs.py, api/views/config_diff.py.
Downstream: OpenAPI, the command line, clients.
Guarantee: whatever a newer or older plugin tells besides is left out, and refuses nothing.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from api.schemas.common import Answer, Usd
from api.views.config_diff import ConfigDiff


class ConfigVersion(Answer):
    """One version of the configuration of one agent, by the runs that had it."""

    hash: str = Field(description="Its 12 hex digits; the label `config` of its runs.")
    openclaw_agent_id: str | None = Field(description="The agent inside the OpenClaw install.")
    model: str | None = Field(description="The model that was configured.")
    skill: str | None = Field(description="Version of all skills together; the label `skill` of its newest run.")
    first_run_at: datetime = Field(description="Start of its first trace in the window (UTC).")
    last_run_at: datetime = Field(description="Start of its newest trace in the window (UTC).")
    num_traces: int = Field(description="Traces whose root run had it.")
    num_failed: int = Field(description="Of them, those whose root run failed.")
    num_tool_calls: int = Field(description="Tool calls of these traces.")
    cost_usd: Usd
    is_current: bool = Field(description="Whether the newest run of the agent had it.")


class SkillChange(Answer):
    """One change of a skill: by OpenClaw's own tools, or by an agent that mended itself."""

    at: datetime = Field(description="When (UTC).")
    action: str = Field(description="created, updated or removed.")
    source: str = Field(description="Who changed it: clawtrace is the agent itself, by clawtrace evolve.")
    skill: str = Field(description="Name of the skill.")
    before: str | None = Field(description="Version before; null when there was none.")
    after: str | None = Field(description="Version after; null when there is none.")
    why: str | None = Field(description="The reason that was given.")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Make it from an event skill_changed."""
        event = _event_of(row["payload"])
        before, after = _artifact(event, "before"), _artifact(event, "after")
        name = (after or before).get("name")
        why = event.get("why")
        return cls(
            at=row["at"],
            action=str(event.get("action", "")),
            source=str(event.get("source", "")),
            skill=str(name or ""),
            before=_version_of(before),
            after=_version_of(after),
            why=why if isinstance(why, str) else None,
        )


class ConfigList(Answer):
    """Versions of the configurations of one install, and changes of its skills."""

    agent_id: str = Field(description="The OpenClaw install.")
    from_at: datetime = Field(description="Start of the window, included.")
    to_at: datetime = Field(description="End of the window, not included.")
    items: list[ConfigVersion] = Field(description="Versions, those used most recently first.")
    skill_changes: list[SkillChange] = Field(description="Changes of skills in the window, the newest first.")
    truncated: bool = Field(description="Whether there are more versions.")


class ConfigText(Answer):
    """A skill, or a file that goes into every prompt."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field("", description="Name of the skill or the file.")
    version: str = Field("", description="12 hex digits of the SHA-256 of its text.")
    chars: int = Field(0, description="Characters of its text.")
    location: str | None = Field(None, description="Where OpenClaw says that it is.")
    text: str | None = Field(None, description="The text, up to a limit; null when it was not told.")


class AgentConfig(Answer):
    """One version of an agent's configuration as the agent told it, without secrets."""

    hash: str = Field(description="Its 12 hex digits.")
    openclaw_agent_id: str = Field(description="The agent inside the OpenClaw install.")
    openclaw_version: str = Field(description="Version of OpenClaw.")
    primary_model: str = Field(description="The model that is configured.")
    fallback_models: list[str] = Field(description="Models that are tried after it.")
    settings: dict[str, Any] = Field(description="Settings of the agent, its own over the defaults.")
    tools: dict[str, Any] = Field(description="Settings of tools.")
    plugins: list[str] = Field(description="Plugins that are switched on.")
    guard: dict[str, Any] = Field(description="The guard of the ClawTrace plugin.")
    skill: str = Field(description="Version of all skills together.")
    skills: list[ConfigText] = Field(description="The skills that the agent is offered, by name.")
    files: list[ConfigText] = Field(description="Files of the workspace that go into every prompt.")

    @classmethod
    def of(cls, payload: str) -> Self:
        """Make it from the payload of an event agent_config."""
        event = _event_of(payload)
        model = _fields(event.get("model"))
        texts = {
            name: [ConfigText.model_validate(item) for item in event.get(name) or () if isinstance(item, dict)]
            for name in ("skills", "files")
        }
        words = {name: str(event.get(name, "")) for name in ("hash", "openclaw_agent_id", "openclaw_version", "skill")}
        return cls(
            **words,
            **texts,
            primary_model=str(model.get("primary", "")),
            fallback_models=[str(name) for name in model.get("fallbacks") or ()],
            settings=_fields(event.get("settings")),
            tools=_fields(event.get("tools")),
            plugins=[str(name) for name in event.get("plugins") or ()],
            guard=_fields(event.get("guard")),
        )


class ConfigValueChange(Answer):
    """One value that differs."""

    path: str = Field(description="Where it stands, such as settings.thinkingDefault.")
    before: str | None = Field(description="JSON of the first version's value; null when it has none.")
    after: str | None = Field(description="JSON of the second version's value; null when it has none.")


class ConfigTextChange(Answer):
    """One skill or file that differs."""

    kind: Literal["skill", "file"] = Field(description="skill or file.")
    name: str = Field(description="Its name.")
    before: str | None = Field(description="Version in the first; null when it is not there.")
    after: str | None = Field(description="Version in the second; null when it is not there.")
    diff: str | None = Field(description="Unified diff of the texts; null when one of them was not told.")


class ConfigComparison(Answer):
    """What two versions of a configuration say differently."""

    agent_id: str = Field(description="The OpenClaw install.")
    before: str = Field(description="Hash of the first version.")
    after: str = Field(description="Hash of the second version.")
    values: list[ConfigValueChange] = Field(description="Values that differ, by path.")
    texts: list[ConfigTextChange] = Field(description="Skills and files that differ, by name.")

    @classmethod
    def of(cls, agent_id: str, before: str, after: str, diff: ConfigDiff) -> Self:
        """Make it from the comparison."""
        return cls(
            agent_id=agent_id,
            before=before,
            after=after,
            values=[ConfigValueChange(path=it.path, before=it.before, after=it.after) for it in diff.values],
            texts=[
                ConfigTextChange(kind=it.kind, name=it.name, before=it.before, after=it.after, diff=it.diff)
                for it in diff.texts
            ],
        )


def config_event(payload: str) -> dict[str, Any]:
    """The event of a payload; empty when it is none."""
    return _event_of(payload)


def _event_of(payload: str) -> dict[str, Any]:
    return _fields(_fields(json.loads(payload)).get("event"))


def _artifact(event: Mapping[str, Any], side: str) -> dict[str, Any]:
    return _fields(event.get(side))


def _version_of(artifact: Mapping[str, Any]) -> str | None:
    sha256 = _fields(artifact.get("revision")).get("contentSha256")
    return sha256.removeprefix("sha256:")[:12] if isinstance(sha256, str) else None


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
