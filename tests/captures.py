"""The captured OpenClaw runs that tests replay: the five of the demo and all the others.

Each line of ``<scenario>.jsonl`` is ``{"hook", "tsMs", "event", "ctx"}`` as the real program called the hooks;
``agent-events/<scenario>.jsonl`` holds its other event sources of the same run (README.md beside them).
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (ROOT / "producers/replay/captures", ROOT / "tests/data/openclaw-hooks")


def _files(subfolder: str = "") -> dict[str, Path]:
    return {path.stem: path for folder in FOLDERS for path in sorted((folder / subfolder).glob("*.jsonl"))}


HOOK_FILES: dict[str, Path] = _files()
AGENT_EVENT_FILES: dict[str, Path] = _files("agent-events")
SCENARIOS: tuple[str, ...] = tuple(sorted(HOOK_FILES))


def hook_lines(scenario: str) -> list[dict[str, Any]]:
    """Return the hook calls of a capture, in the order they were made."""
    return [json.loads(line) for line in HOOK_FILES[scenario].read_text().splitlines()]
