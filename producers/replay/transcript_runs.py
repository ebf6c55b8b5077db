"""Finds the runs in a transcript: their model calls, tool calls, and which run started which.

Upstream: ``producers.replay.transcripts``.
Downstream: ``producers.replay.transcript_events``.
Guarantee: pure; the same entries give the same runs, whichever file they came from; a message that is no answer of a
model (the host's own notes, without tokens and response id) is no model call.

Measured on OpenClaw 2026.9.6: an assistant message's ``timestamp`` is the moment its model call began, to the
millisecond of the hook; the entry's ``timestamp`` is when it was written, some ms after the call ended.
``__openclaw.runId`` is the run id of the hooks. Older versions write none: there a run is what follows a message of
the user.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec

from producers.contracts.usage import OpenClawUsage, TokenUsage, reported_cost_usd
from producers.replay.transcripts import Entry, Message, Session

_ANNOUNCED: Final = re.compile(r"^announce:v1:(.+):([^:]+)$")


class _Stamp(msgspec.Struct, frozen=True, rename="camel"):
    run_id: str | None = None


class _Spawned(msgspec.Struct, frozen=True, rename="camel"):
    run_id: str | None = None
    child_session_key: str | None = None


class _Block(msgspec.Struct, frozen=True, rename="camel"):
    type: str = ""
    id: str = ""
    name: str = ""
    text: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class TranscriptCall:
    """One answer of a model."""

    entry_id: str
    message: Message
    usage: TokenUsage
    reported_usd: str | None
    started_ms: int
    ended_ms: int
    place: int

    @property
    def has_failed(self) -> bool:
        """Whether the answer is an error."""
        return self.message.stop_reason == "error" and not self.usage.total_tokens


@dataclass(frozen=True, slots=True)
class TranscriptTool:
    """One tool call with its result; without params when its request was not kept."""

    tool_call_id: str
    tool_name: str
    params: msgspec.Raw
    message: Message
    started_ms: int
    ended_ms: int
    place: int


@dataclass(slots=True)
class TranscriptRun:
    """One run. ``parent_run_id`` is the run whose tool call started it, or which it announces."""

    run_id: str
    session: Session
    prompt: str = ""
    calls: list[TranscriptCall] = field(default_factory=list)
    tools: list[TranscriptTool] = field(default_factory=list)
    started_ms: int = 0
    ended_ms: int = 0
    parent_run_id: str = ""
    is_announcement: bool = False
    num_entries: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether the last answer asks for no more tools."""
        return bool(self.calls) and self.calls[-1].message.stop_reason not in (None, "toolUse")


def runs_of(sessions: Iterable[Session]) -> dict[str, TranscriptRun]:
    """Find all runs of all sessions, by run id, with who started them."""
    runs: dict[str, TranscriptRun] = {}
    for session in sessions:
        for run in _runs_of_session(session):
            if run.calls or run.tools:
                runs.setdefault(run.run_id, run)
    for run in list(runs.values()):
        for tool in run.tools:
            child = runs.get(_spawned_run(tool.message))
            if child is not None and child is not run:
                child.parent_run_id = run.run_id
        announced = _ANNOUNCED.match(run.run_id)
        if announced is not None and announced[2] in runs:
            run.parent_run_id, run.is_announcement = announced[2], True
    return runs


def root_of(runs: dict[str, TranscriptRun], run: TranscriptRun) -> TranscriptRun:
    """Follow the parents up to the run that nobody started."""
    seen = {run.run_id}
    while (parent := runs.get(run.parent_run_id)) is not None and parent.run_id not in seen:
        seen.add(parent.run_id)
        run = parent
    return run


def _runs_of_session(session: Session) -> list[TranscriptRun]:
    runs: dict[str, TranscriptRun] = {}
    asked: Entry | None = None
    requests: dict[str, tuple[str, msgspec.Raw, int]] = {}
    for entry in session.entries:
        message = entry.message
        if message is None:
            continue
        if message.role == "user":
            asked = entry
            continue
        run_id = _run_id(message) or _made_run_id(session, asked)
        run = runs.get(run_id)
        if run is None:
            run = runs[run_id] = TranscriptRun(run_id, session)
            if asked is not None:
                run.prompt = text_of_content(asked.message.content if asked.message else msgspec.Raw(b"null"))
                asked = asked if not _run_id(message) else None
        written_ms = _milliseconds(entry.timestamp)
        began_ms = int(message.timestamp) if message.timestamp else written_ms
        run.started_ms = min(run.started_ms or began_ms, began_ms)
        run.ended_ms = max(run.ended_ms, written_ms, began_ms)
        run.num_entries += 1
        if message.role == "assistant":
            for block in _blocks(message.content):
                if block.type == "toolCall" and block.id:
                    requests[block.id] = (block.name, block.arguments, max(written_ms, began_ms))
            call = _call(entry, message, began_ms, written_ms, run.num_entries)
            if call is not None:
                run.calls.append(call)
        elif message.role == "toolResult" and message.tool_call_id:
            name, params, asked_ms = requests.get(message.tool_call_id, ("", msgspec.Raw(b"null"), began_ms))
            run.tools.append(
                TranscriptTool(
                    message.tool_call_id,
                    message.tool_name or name,
                    params,
                    message,
                    min(asked_ms, began_ms),
                    began_ms,
                    run.num_entries,
                )
            )
    return list(runs.values())


def _call(entry: Entry, message: Message, began_ms: int, written_ms: int, place: int) -> TranscriptCall | None:
    try:
        told = msgspec.json.decode(message.usage, type=OpenClawUsage | None) or OpenClawUsage()
    except ValueError:
        return None
    usage = TokenUsage.from_openclaw(told)
    if min(msgspec.structs.astuple(usage)) < 0:
        return None
    if not usage.total_tokens and not message.response_id and message.stop_reason != "error":
        return None
    return TranscriptCall(entry.id, message, usage, reported_cost_usd(told), began_ms, max(written_ms, began_ms), place)


def _run_id(message: Message) -> str:
    try:
        stamp = msgspec.json.decode(message.openclaw, type=_Stamp | None)
    except ValueError:
        return ""
    return (stamp.run_id or "") if stamp is not None else ""


def _made_run_id(session: Session, asked: Entry | None) -> str:
    # By the entry alone where there is one: a session that was forked holds the same entry in two transcripts.
    name = asked.id if asked is not None and asked.id else session.session_id
    return f"transcript:{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _spawned_run(message: Message) -> str:
    try:
        spawned = msgspec.json.decode(message.details, type=_Spawned | None)
    except ValueError:
        return ""
    return (spawned.run_id or "") if spawned is not None and spawned.child_session_key else ""


def _blocks(content: msgspec.Raw) -> list[_Block]:
    try:
        return msgspec.json.decode(content, type=list[_Block])
    except ValueError:
        return []


def text_of_content(content: msgspec.Raw) -> str:
    """Return the text of a message's content, without pictures and tool calls."""
    if bytes(content).startswith(b'"'):
        return msgspec.json.decode(content, type=str)
    return "\n".join(block.text for block in _blocks(content) if block.text)


def _milliseconds(timestamp: str) -> int:
    try:
        at = datetime.fromisoformat(timestamp)
    except ValueError:
        return 0
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
