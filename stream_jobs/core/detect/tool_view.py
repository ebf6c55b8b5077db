"""What rules about tools need to know of a call that has ended, worked out once for all of them.

Upstream: facts ``tool_ended``; texts the stitcher keeps.
Downstream: the rules about loops and repetition.
Guarantee: a call is seen once, however often its end is told; a call that only wraps another (tool search, code
mode) is not seen, what it wraps is. Memory: one small value a run.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from stream_jobs.contracts.alert import AlertRule, AlertState
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact
from stream_jobs.core.redundancy.normalise import answer_text, asked_text, digest_of
from stream_jobs.core.state import RunState, ToolState
from stream_jobs.core.workspace import Workspace

READ_TOOLS: Final = frozenset({"read", "file_fetch", "memory_get", "read_file", "view"})
WRITE_TOOLS: Final = frozenset(
    {"write", "edit", "apply_patch", "file_write", "multi_edit", "write_file", "str_replace"}
)
_WAITING_TOOLS: Final = frozenset(
    {"process", "agents_wait", "sessions_yield", "session_status", "subagents", "sessions_list", "ask_user"}
)
# Of these, only some actions wait.
_WAITING_ACTIONS: Final = {"process": frozenset({"poll", "log", "list", "wait", "status"})}
_WAITING_COMMAND: Final = re.compile(
    r"(?:^|[;&|(\n]|\b(?:do|then|else)\b)\s*(?:sleep|wait|watch|inotifywait)\b|\btail\s+(?:-\w+\s+)*-\w*[fF]\b"
    r"|\bkubectl\s+(?:wait|rollout\s+status)\b|\b(?:run|pr|workflow)\s+watch\b|\s--(?:wait|watch)\b"
)
# An exit code of 1 is their answer "nothing found" or "not the same", not a failure.
_ANSWERING_HEADS: Final = frozenset(
    {"grep", "egrep", "fgrep", "rg", "ag", "ack", "diff", "cmp", "test", "[", "which", "command", "pgrep", "git diff"}
    | {"git grep", "systemctl is-active", "expr", "type"}
)
_WITH_SUBCOMMANDS: Final = frozenset(
    {"git", "gh", "npm", "npx", "pnpm", "yarn", "docker", "kubectl", "pip", "cargo", "go", "systemctl", "apt", "brew"}
    | {"make", "uv", "poetry", "aws", "gcloud", "terraform", "openclaw"}
)
_WRAPPERS: Final = frozenset({"sudo", "time", "env", "nohup", "nice", "command", "exec", "timeout"})
_LEADING_CD: Final = re.compile(r"^\s*(?:cd\s+\S+\s*(?:&&|;)\s*|set\s+-\w+\s*;?\s*)+")
_SHELL: Final = re.compile(r"""^\s*(?:/bin/)?(?:ba|z)?sh\s+-\w*c\s+["']?""")

_MAX_RECENT = 64
_MAX_WRITES = 128


class RunLog(msgspec.Struct, array_like=True):
    """What is remembered of a run's calls."""

    num_calls: int = 0
    num_waits: int = 0
    num_new_writes: int = 0
    recent: list[str] = []
    wrappers: list[str] = []
    writes: list[str] = []


class ToolView(NamedTuple):
    """A call that has ended.

    ``asked`` and ``answered`` are hashes of the normalised texts; ``number`` counts the calls of the run;
    ``num_waits`` and ``num_new_writes`` count how often the run has waited, and written what it had not written
    before, up to now: between two equal calls, either makes the second one sensible.
    """

    tool: ToolState
    run: RunState
    asked: str
    answered: str
    asked_text: str
    num_answer_bytes: int
    params: Mapping[str, Any]
    head: str
    is_failed: bool
    is_answering: bool
    is_wait: bool
    is_new_write: bool
    number: int
    num_waits: int
    num_new_writes: int

    @property
    def path(self) -> str:
        """The file it is about, or ""."""
        return _first_text(self.params, ("path", "file_path", "filePath", "file"))

    @property
    def labels(self) -> dict[str, str]:
        """What an alert about it is labelled with."""
        return {"run_id": self.run.run_id, "session_key": self.run.session_key, "tool_name": self.tool.tool_name}


def set_call_alert(
    ws: Workspace,
    settings: RuleSettings,
    rule: AlertRule,
    view: ToolView,
    *,
    state: AlertState,
    message: str,
    at_us: int,
    evidence: Mapping[str, object],
    about: str = "",
    labels: Mapping[str, str] | None = None,
) -> bool:
    """Bring an alert about a run, which the calls up to this one prove, to a state; see :func:`set_alert`."""
    return set_alert(
        ws,
        settings,
        rule,
        scope="run",
        scope_id=view.run.run_id,
        about=about,
        state=state,
        message=message,
        at_us=at_us,
        labels={**view.labels, **(labels or {})},
        evidence=evidence,
        trace_id=view.run.trace_id,
        span_id=view.tool.span_id,
    )


class _Shared:
    """What was worked out in this batch: the view of the last fact, and what was asked by the id of its text."""

    def __init__(self) -> None:
        self.fact: Fact | None = None
        self.view: ToolView | None = None
        self.asked: dict[str, str] = {}


def view_of(ws: Workspace, fact: Fact) -> ToolView | None:
    """Return what is known of a call that has ended; None when it is not to be looked at (again)."""
    shared = _shared(ws)
    if shared.fact is not fact:
        shared.fact, shared.view = fact, _look(ws, fact)
    return shared.view


def asked_of(ws: Workspace, tool: ToolState) -> str:
    """Return what a tool was asked, for comparison; "" when it is not known."""
    asked = _shared(ws).asked
    text = asked.get(tool.input_id)
    if text is None:
        text = asked[tool.input_id] = asked_text(ws.text(tool.input_id))
    return text


def _shared(ws: Workspace) -> _Shared:
    shared = ws.shared.get(__name__)
    if shared is None:
        shared = ws.shared[__name__] = _Shared()
    return cast(_Shared, shared)


def params_of(ws: Workspace, tool: ToolState) -> Mapping[str, Any]:
    """Return what a tool was asked as an object; empty when it is none."""
    try:
        params = msgspec.json.decode(ws.text(tool.input_id) or "null")
    except (msgspec.DecodeError, RecursionError):
        return {}
    return params if isinstance(params, dict) else {}


def _look(ws: Workspace, fact: Fact) -> ToolView | None:
    tool = ws.find_node(fact.ref)
    run = ws.find_run(tool.run_id) if isinstance(tool, ToolState) else None
    if not isinstance(tool, ToolState) or run is None:
        return None
    name = f"tool_view|{run.run_id}"
    log = ws.memory(name, RunLog)
    own = digest_of(tool.tool_call_id)[:16]
    if own in log.recent:
        return None
    ws.change_memory(name)
    log.recent = [*log.recent, own][-_MAX_RECENT:]
    if isinstance(outer := ws.find_node(tool.parent_ref), ToolState):
        wrapper = digest_of(outer.tool_call_id)[:16]
        if wrapper not in log.wrappers:
            log.wrappers = [*log.wrappers, wrapper][-_MAX_RECENT:]
    if own in log.wrappers:
        return None
    return _make_view(ws, tool, run, log)


def _make_view(ws: Workspace, tool: ToolState, run: RunState, log: RunLog) -> ToolView:
    params = params_of(ws, tool)
    command = _first_text(params, ("command", "cmd", "script"))
    head = head_of(command) if command else tool.tool_name
    text = asked_of(ws, tool)
    asked = digest_of(tool.tool_name, text)[:16]
    answer = ws.text(tool.output_id) or ""
    is_answering = tool.exit_code == 1 and head in _ANSWERING_HEADS
    is_failed = bool(tool.error or tool.status == "blocked" or tool.exit_code) and not is_answering
    is_wait = _is_wait(tool.tool_name, params, command)
    log.num_calls += 1
    log.num_waits += is_wait
    is_new_write = tool.tool_name in WRITE_TOOLS and not is_failed and asked not in log.writes
    if is_new_write:
        log.num_new_writes += 1
        log.writes = [*log.writes, asked][-_MAX_WRITES:]
    return ToolView(
        tool=tool,
        run=run,
        asked=asked,
        answered=digest_of(answer_text(answer), answer_text(tool.error), str(tool.exit_code))[:16],
        asked_text=text,
        num_answer_bytes=len(answer.encode()),
        params=params,
        head=head,
        is_failed=is_failed,
        is_answering=is_answering,
        is_wait=is_wait,
        is_new_write=is_new_write,
        number=log.num_calls,
        num_waits=log.num_waits,
        num_new_writes=log.num_new_writes,
    )


def head_of(command: str) -> str:
    """Return what a command runs: its program, with the subcommand where the program has such."""
    words = _LEADING_CD.sub("", _SHELL.sub("", _LEADING_CD.sub("", command))).split()
    place = 0
    while place < len(words) and (words[place] in _WRAPPERS or "=" in words[place] or words[place].isdigit()):
        place += 1
    if place >= len(words):
        return command.strip()[:40]
    program = words[place].rsplit("/", 1)[-1].strip("\"'()")[:40]
    rest = [word for word in words[place + 1 :] if not word.startswith("-")]
    if program in _WITH_SUBCOMMANDS and rest:
        return f"{program} {rest[0][:40]}"
    if program.startswith("python") and words[place + 1 : place + 2] == ["-m"] and rest:
        return f"python -m {rest[0][:40]}"
    return program


def _is_wait(tool_name: str, params: Mapping[str, Any], command: str) -> bool:
    if tool_name in _WAITING_TOOLS:
        actions = _WAITING_ACTIONS.get(tool_name)
        return actions is None or params.get("action") in actions
    return bool(command and _WAITING_COMMAND.search(command))


def _first_text(params: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = params.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
