"""Reads OpenClaw's session transcripts, wherever and however a version of OpenClaw keeps them.

Upstream: OpenClaw's files: since 2026.7 ``agents/<id>/agent/openclaw-agent.sqlite`` (rows as text or Zstd), archived
and older sessions as ``.jsonl``, also compressed; one entry a line, the same in all of them.
Downstream: ``producers.replay.transcript_runs``.
Guarantee: nothing is written, not even a lock or a journal beside the database is left; an entry that cannot be read
is counted and skipped; a session that lies in two places is read once, from where it has more entries.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cramjam
import msgspec

from producers.contracts.normalise import repair_surrogates

DATABASE_NAME: Final = "openclaw-agent.sqlite"
STORE_NAME: Final = "sessions.json"


class TranscriptsUnreadable(Exception):
    """A path holds no transcripts that can be read; the text says why and what to give instead."""


class Message(msgspec.Struct, frozen=True, rename="camel"):
    """A message of an entry, as far as it is read; the rest goes on as it is."""

    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: int | float | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    provider: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    error_message: msgspec.Raw = msgspec.Raw(b"null")
    response_id: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    details: msgspec.Raw = msgspec.Raw(b"null")
    is_error: bool = False
    openclaw: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="__openclaw")


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of a transcript."""

    type: str = ""
    id: str = ""
    timestamp: str = ""
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One session: its messages in order."""

    session_id: str
    session_key: str
    agent_id: str
    entries: list[Entry] = field(default_factory=list)
    num_unreadable: int = 0


class _StoredSession(msgspec.Struct, frozen=True, rename="camel"):
    session_id: str = ""


_decode_entry = msgspec.json.Decoder(Entry).decode


def read_sessions(path: Path) -> list[Session]:
    """Read every session under a path: a state folder (``~/.openclaw``), a database, a ``.jsonl`` file.

    Raises:
        TranscriptsUnreadable: there is none, or a database cannot be read.
        OSError: a file cannot be read.
    """
    files = sorted(_files(path))
    if not files:
        raise TranscriptsUnreadable(
            f"{path} holds no transcripts; give OpenClaw's state folder (~/.openclaw), an {DATABASE_NAME}, "
            "or a .jsonl file of a session"
        )
    found: dict[str, Session] = {}
    for file in files:
        for session in _read_database(file) if file.suffix == ".sqlite" else [_read_lines(file)]:
            other = found.get(session.session_id)
            if other is None or len(session.entries) > len(other.entries):
                found[session.session_id] = session
    return list(found.values())


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    yield from (file for file in path.rglob(DATABASE_NAME) if file.is_file())
    # Archives are named <session>.jsonl.<reason>.<time>, each of them perhaps with .zst behind it.
    yield from (file for file in path.rglob("*.jsonl*") if file.is_file() and file.parent.name == "sessions")
    yield from (file for file in path.glob("*.jsonl*") if file.is_file() and path.name != "sessions")


def _read_database(file: Path) -> Iterator[Session]:
    agent_id = _agent_of(file)
    # Not immutable=1: a running gateway writes, and its newest entries lie in the log beside the database.
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.execute("PRAGMA query_only = 1")
        windows = connection.execute("SELECT session_id, session_key FROM session_windows ORDER BY 1").fetchall()
        columns = {row[1] for row in connection.execute("PRAGMA table_info(transcript_events)")}
        packed = "event_zstd" if "event_zstd" in columns else "NULL"
        for session_id, session_key in windows:
            rows = connection.execute(
                f"SELECT event_json, {packed} FROM transcript_events WHERE session_id = ? ORDER BY seq",  # noqa: S608
                (session_id,),
            )
            yield _session(session_id, session_key, agent_id, (_row_text(*row) for row in rows))
    except sqlite3.Error as error:
        raise TranscriptsUnreadable(f"{file}: {error}; is it a database of OpenClaw 2026.7 or later?") from None
    finally:
        connection.close()


def _row_text(text: str | None, packed: bytes | None) -> bytes:
    if text is not None:
        return text.encode(errors="replace")
    return unpack(packed or b"")


def unpack(packed: bytes) -> bytes:
    """Inflate Zstd; empty when it is none, so that one broken row costs one entry."""
    try:
        return bytes(cramjam.zstd.decompress(packed))
    except cramjam.DecompressionError:
        return b""


def _read_lines(file: Path) -> Session:
    content = file.read_bytes()
    if file.suffix == ".zst":
        content = unpack(content)
    session_id = file.name.split(".jsonl")[0]
    agent_id = _agent_of(file)
    lines = [line for line in content.splitlines() if line.strip()]
    if lines and (header := _entry(lines[0])) is not None and header.type == "session" and header.id:
        session_id = header.id
    session_key = _session_keys(file.parent / STORE_NAME).get(session_id)
    return _session(session_id, session_key or f"agent:{agent_id}:imported:{session_id}", agent_id, iter(lines))


def _session_keys(store: Path) -> dict[str, str]:
    """Session id to session key, from the store that older versions kept beside the transcripts."""
    try:
        stored = msgspec.json.decode(store.read_bytes(), type=dict[str, _StoredSession])
    except (OSError, ValueError):
        return {}
    return {session.session_id: key for key, session in stored.items()}


def _session(session_id: str, session_key: str, agent_id: str, texts: Iterator[bytes]) -> Session:
    entries: list[Entry] = []
    num_unreadable = 0
    for text in texts:
        entry = _entry(text)
        if entry is None:
            num_unreadable += 1
        elif entry.message is not None and entry.type == "message":
            entries.append(entry)
    return Session(session_id, session_key, agent_id, entries, num_unreadable)


def _entry(text: bytes) -> Entry | None:
    try:
        return _decode_entry(text)
    except (ValueError, RecursionError):
        try:
            return _decode_entry(repair_surrogates(text))
        except (ValueError, RecursionError):
            return None


def _agent_of(file: Path) -> str:
    """Agent whose folder a file lies in: ``agents/<id>/…``."""
    parts = file.resolve().parts
    for place in range(len(parts) - 2, 0, -1):
        if parts[place - 1] == "agents":
            return parts[place]
    return "main"
