"""Load for benches and kill tests: real captured runs under new ids, so that each copy is a run of its own.

Times and ids are replaced in the text of the capture; everything else stays what the real program sent.
"""

import json
import re
import time
import uuid
from typing import Any

from tests.captures import HOOK_FILES, hook_lines

# The ids OpenClaw gives to things of one run; each copy of a run needs its own.
ID_FIELDS = (
    "traceId",
    "spanId",
    "parentSpanId",
    "runId",
    "sessionId",
    "sessionKey",
    "childSessionKey",
    "toolCallId",
    "responseId",
)
PROBE_OUTPUT_TOKENS = 10_000  # at 15 dollars per million: 0.15 dollars, above the limit of the bench tenant


def ids_of(value: Any, found: set[str]) -> None:
    """Collect the ids that OpenClaw gave to things, from anywhere in a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ID_FIELDS and isinstance(inner, str):
                found.add(inner)
            ids_of(inner, found)
    elif isinstance(value, list):
        for inner in value:
            ids_of(inner, found)


class RunTemplate:
    """A captured run that can be made anew any number of times."""

    def __init__(self, scenario: str) -> None:
        """Read the capture and find its ids."""
        self._text = HOOK_FILES[scenario].read_text()
        lines = hook_lines(scenario)
        self.num_events = len(lines)
        ids: set[str] = set()
        ids_of(lines, ids)
        self._ids = re.compile("|".join(re.escape(found) for found in sorted(ids, key=len, reverse=True)))

    def lines(self, copy: str) -> list[dict[str, Any]]:
        """The run under the ids of ``copy``, moved so that it begins now."""
        made: dict[str, str] = {}

        def renamed(match: re.Match[str]) -> str:
            old = match.group()
            if old not in made:
                new = uuid.uuid5(uuid.NAMESPACE_OID, f"{copy}/{old}").hex
                made[old] = new[: len(old)] if re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{32}", old) else f"{old}-{new[:8]}"
            return made[old]

        lines = [json.loads(line) for line in self._ids.sub(renamed, self._text).splitlines()]
        shift_ms = int(time.time() * 1000) - lines[0]["tsMs"]
        for line in lines:
            line["tsMs"] += shift_ms
        return lines


def dear(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the answers of a run long enough to cross the alert limit of the bench tenant."""
    for line in lines:
        message = line["event"].get("message", {})
        if line["hook"] == "before_message_write" and message.get("role") == "assistant":
            message["usage"]["output"] = PROBE_OUTPUT_TOKENS
        if line["hook"] == "llm_output":
            line["event"]["usage"]["output"] = PROBE_OUTPUT_TOKENS
    return lines
