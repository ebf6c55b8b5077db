"""What the model provider of the tests says: a script per scenario, chosen by a marker in the prompt.

Upstream: the messages of a request, whichever of the two APIs it came by.
Downstream: ``provider``, which turns the answer into a stream.
Guarantee: the answer depends on the conversation alone, so that a retry of OpenClaw gets the same one; only the
faults count how often they were met.

A marker looks like ``[[scenario:runaway label=abc]]``. The label goes on into the tasks of sub-agents, so every
request that a test caused can be told by it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MARKER = re.compile(r"\[\[scenario:([a-z0-9-]+)((?: [a-z_]+=[^\s\]]+)*)\]\]")
LABEL = re.compile(r"\[\[scenario:[^\]]*\blabel=([^\s\]]+)")


# OpenClaw appends facts about the session as one more user message, at the end of each request.
RUNTIME_CONTEXT = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"


@dataclass(frozen=True)
class Turn:
    """One message of a conversation, as both APIs can say it."""

    role: str
    text: str
    tool_results: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolCall:
    """A tool the model asks for."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the model says next, and what goes wrong while it does."""

    scenario: str
    step: int
    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    extra_input_tokens: int = 0
    latency_s: float = 0.0
    http_status: int = 200
    is_cut: bool = False


@dataclass(frozen=True)
class _Prompt:
    scenario: str
    options: dict[str, str]
    step: int
    times_met: int
    model: str
    offered: frozenset[str]
    turns: tuple[Turn, ...]

    def marker(self, scenario: str) -> str:
        """The marker for a sub-agent, with our label and latency."""
        passed_on = "".join(f" {name}={self.options[name]}" for name in ("label", "latency") if name in self.options)
        return f"[[scenario:{scenario}{passed_on}]]"


def _say(text: str, **more: Any) -> Callable[[_Prompt], Answer]:
    return lambda prompt: Answer(prompt.scenario, prompt.step, text=text, **more)


def _steps(*steps: Callable[[_Prompt], Answer]) -> Callable[[_Prompt], Answer]:
    return lambda prompt: steps[min(prompt.step, len(steps) - 1)](prompt)


def _call(*calls: ToolCall, text: str = "", **more: Any) -> Callable[[_Prompt], Answer]:
    return lambda prompt: Answer(prompt.scenario, prompt.step, text=text, tool_calls=calls, **more)


def _exec(command: str) -> ToolCall:
    return ToolCall("exec", {"command": command})


_READ = ToolCall("read", {"path": "notes.txt"})


def _offered(prompt: _Prompt, call: ToolCall) -> ToolCall:
    """The call as this request allows it: a tool that is not offered is reached through tool search."""
    if call.name in prompt.offered:
        return call
    return ToolCall("tool_call", {"id": call.name, "args": call.arguments})


def _spawn(scenario: str, task: str, copies: int = 1) -> Callable[[_Prompt], Answer]:
    def answer(prompt: _Prompt) -> Answer:
        count = int(prompt.options.get("children", copies))
        marker = prompt.marker(scenario)
        calls = tuple(
            _offered(prompt, ToolCall("sessions_spawn", {"task": f"{marker} {task}", "label": f"helper {number}"}))
            for number in range(count)
        )
        return Answer(prompt.scenario, prompt.step, tool_calls=calls)

    return answer


def _runaway(prompt: _Prompt) -> Answer:
    calls = (_exec("echo again"),)
    return Answer(prompt.scenario, prompt.step, tool_calls=calls, latency_s=float(prompt.options.get("latency", "0")))


def _busy(prompt: _Prompt) -> Answer:
    latency_s = float(prompt.options.get("latency", "0"))
    if prompt.step < int(prompt.options.get("tools", "5")):
        call = _exec(f"echo step {prompt.step}")
        return Answer(prompt.scenario, prompt.step, tool_calls=(call,), latency_s=latency_s)
    return Answer(prompt.scenario, prompt.step, text="All steps are done.", latency_s=latency_s)


def _flaky(prompt: _Prompt) -> Answer:
    status = int(prompt.options.get("status", "500"))
    if prompt.step == 0 and prompt.times_met < int(prompt.options.get("times", "1")):
        return Answer(prompt.scenario, prompt.step, http_status=status)
    return Answer(prompt.scenario, prompt.step, text="Hello after the trouble.")


def _cut(prompt: _Prompt) -> Answer:
    if prompt.times_met < 1:
        return Answer(prompt.scenario, prompt.step, text="This answer is going to be cut off.", is_cut=True)
    return Answer(prompt.scenario, prompt.step, text="Hello after the cut.")


def _fallback(prompt: _Prompt) -> Answer:
    if prompt.model != "sim-2":
        return Answer(prompt.scenario, prompt.step, http_status=int(prompt.options.get("status", "503")))
    return Answer(prompt.scenario, prompt.step, text="Answered by the fallback model.")


def _slow_tool(prompt: _Prompt) -> Answer:
    if prompt.step == 0:
        seconds = prompt.options.get("seconds", "40")
        # Tests wait for the file: then the tool runs, and its hooks were called.
        begun = f"touch {prompt.options['label']}.begun"
        return Answer(prompt.scenario, prompt.step, tool_calls=(_exec(f"{begun}; sleep {seconds}; echo slept"),))
    return Answer(prompt.scenario, prompt.step, text="It slept.")


def _long(prompt: _Prompt) -> Answer:
    words = int(prompt.options.get("words", "1500"))
    text = "lorem ipsum dolor sit amet " * (words // 5)
    return Answer(prompt.scenario, prompt.step, text=text, extra_input_tokens=int(prompt.options.get("input", "30000")))


_STOP_RULE = re.compile(r"^- Call `exec (\{.*?\})` or the like at most (once|(\d+) times):", re.MULTILINE)


def _repeat(prompt: _Prompt) -> Answer:
    """Does one thing again and again, unless a skill that it was offered, and has read, says how often is enough."""
    call = _exec(f"wc -l notes.txt # {prompt.options['what']}")
    location = _offered_skill(prompt, prompt.options.get("skill", ""))
    if location and prompt.step == 0:
        return Answer(prompt.scenario, 0, tool_calls=(ToolCall("read", {"path": location}),))
    wanted = int(prompt.options.get("times", "16"))
    read = "\n".join(turn.text for turn in prompt.turns if turn.tool_results) if location else ""
    for asked, _, times in _STOP_RULE.findall(read):
        if json.loads(asked) == call.arguments:
            wanted = int(times or 1)
    if prompt.step - bool(location) < wanted:
        return Answer(prompt.scenario, prompt.step, tool_calls=(call,))
    return Answer(prompt.scenario, prompt.step, text="The report is done: three lines.")


def _offered_skill(prompt: _Prompt, name: str) -> str:
    """Where the system prompt says that a skill is; empty when it does not offer it."""
    system = "\n".join(turn.text for turn in prompt.turns if turn.role == "system")
    found = re.search(rf"<name>{re.escape(name)}</name>.*?<location>(.*?)</location>", system, re.DOTALL)
    return found[1] if name and found else ""


def _evolve(prompt: _Prompt) -> Answer:
    """Reads the skill that tells how, asks what its runs teach, applies it with a reason, and says what came of it."""
    location = _offered_skill(prompt, "clawtrace-self-evolve")
    about = f"--task {prompt.options['task']} --days 1"
    commands = (f"ask {about}", f"apply {about} --why 'The same command ran again and again'")
    steps = [
        ToolCall("read", {"path": location}),
        *(
            ToolCall("exec", {"command": f"openclaw clawtrace evolve {it}", "yieldMs": 120_000, "timeoutSeconds": 240})
            for it in commands
        ),
    ]
    if prompt.step < len(steps):
        return Answer(prompt.scenario, prompt.step, tool_calls=(steps[prompt.step],))
    told = "\n".join(turn.text for turn in prompt.turns if turn.tool_results)[-2_000:]
    return Answer(prompt.scenario, prompt.step, text=f"I have learned this. {told}")


SCRIPTS: dict[str, Callable[[_Prompt], Answer]] = {
    "simple": _say("Hello from the model."),
    "multi-tool": _steps(
        _call(_READ, text="I will read the notes first."),
        _call(_exec("echo alpha-42")),
        _call(_exec("exit 3")),
        _call(_exec("wc -l notes.txt"), _READ, _exec("sleep 0.2; echo last")),
        _say("The notes hold three lines and the code is alpha-42."),
    ),
    "thinking": _steps(
        _call(_READ, thinking="The user wants the code; read the notes."),
        _say("The code is alpha-42.", thinking="Now answer."),
    ),
    "child": _steps(_call(_exec("wc -l notes.txt")), _say("notes.txt has 3 lines.")),
    "subagent": _steps(_spawn("child", "Count the lines of notes.txt."), _say("A helper is counting.")),
    "nested": _steps(_spawn("subagent", "Delegate the counting further."), _say("A manager is on it.")),
    "fan-out": _steps(_spawn("runaway", "Do it again and again.", 20), _say("The helpers are on it.")),
    "tool-search": _steps(
        _call(ToolCall("tool_search", {"query": "spawn a subagent session"})),
        _spawn("child", "Count the lines of notes.txt."),
        _say("A helper counts."),
    ),
    "runaway": _runaway,
    "busy": _busy,
    "flaky": _flaky,
    "cut": _cut,
    "fallback": _fallback,
    "slow-tool": _slow_tool,
    "repeat": _repeat,
    "evolve": _evolve,
    "long": _long,
    "heartbeat": _say("HEARTBEAT_OK"),
}
# OpenClaw's own prompts, which carry no marker of ours or carry it inside a conversation they quote.
_OWN_PROMPTS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("compaction", re.compile(r"<conversation>|structured context checkpoint"), "Summary: the user asked for stories."),
    ("memory-flush", re.compile(r"Pre-compaction memory flush"), "NO_REPLY"),
    (
        "announce",
        re.compile(r"A background task completed|Your prior run ended while waiting"),
        "The helper finished: notes.txt has 3 lines.",
    ),
)


@dataclass
class Script:
    """Chooses answers; remembers only how often each fault was met."""

    _met: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def answer(self, turns: list[Turn], model: str, offered: frozenset[str]) -> tuple[str, Answer]:
        """The label of the test that a request belongs to, and what the model says."""
        labels = [found for turn in turns for found in LABEL.findall(turn.text)]
        label = labels[-1] if labels else ""
        for position in range(len(turns) - 1, -1, -1):
            turn = turns[position]
            if turn.role != "user" or turn.text.startswith(RUNTIME_CONTEXT):
                continue
            step = sum(later.role == "assistant" for later in turns[position:])
            for scenario, pattern, text in _OWN_PROMPTS:
                if pattern.search(turn.text):
                    return label, Answer(scenario, step, text=text)
            markers = MARKER.findall(turn.text)
            if markers:
                return label, self._scripted(markers[-1], label, step, model, offered, tuple(turns))
        return label, Answer("unmarked", 0, text="NO_REPLY")

    def _scripted(
        self,
        marker: tuple[str, str],
        label: str,
        step: int,
        model: str,
        offered: frozenset[str],
        turns: tuple[Turn, ...],
    ) -> Answer:
        scenario, words = marker
        options = dict(word.split("=", 1) for word in words.split())
        met = self._met.get((label, scenario, step), 0)
        self._met[label, scenario, step] = met + 1
        return SCRIPTS[scenario](_Prompt(scenario, options, step, met, model, offered, turns))
