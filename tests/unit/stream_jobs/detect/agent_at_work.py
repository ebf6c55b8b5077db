"""Writes the hooks of an agent that calls tools, at a pace of its own, and says when a rule fired."""

import json
from typing import Any

from producers.contracts.event import Event
from stream_jobs.contracts.alert import Alert, AlertRule
from stream_jobs.core.stitch import read_rules
from tests.unit.stream_jobs.core.hooks import START_MS, Script
from tests.unit.stream_jobs.core.stitching import Replay, make_event

# The rules as they are without a file.
DEFAULTS = read_rules("")


class Agent(Script):
    """A run that has begun."""

    def __init__(self, **where: str) -> None:
        super().__init__(**where)
        self.now_ms = START_MS
        self.num_tools = 0
        self.begin()

    def hook(self, hook: str, event: dict[str, Any], ctx: dict[str, Any] | None = None) -> Event:
        self.now_ms += 10
        made = make_event(len(self.events), hook, self.now_ms, event, ctx or {})
        self.events.append(made)
        return made

    def rest(self, seconds: float) -> None:
        self.now_ms += int(1_000 * seconds)

    def use(self, name: str, text: str = "", *, exit_code: int | None = None, error: str = "", **params: Any) -> None:
        """Call a tool; exec gets details as OpenClaw writes them."""
        self.num_tools += 1
        event = {"toolName": name, "runId": self.run_id, "toolCallId": f"call-{self.num_tools}", "params": params}
        ctx = {"runId": self.run_id, "sessionKey": self.session}
        span = {"trace": self.trace(f"run-{self.run_id}", self.harness_id)}
        self.hook("before_tool_call", event, {**ctx, **span})
        self.rest(0.5)
        details = {"durationMs": 100 + self.num_tools, "aggregated": text, "cwd": "/home/user"}
        if exit_code is not None:
            details |= {"status": "completed", "exitCode": exit_code}
        result = {"content": [{"type": "text", "text": text}], "details": details}
        after = {**event, "result": result, "durationMs": 500}
        self.hook("after_tool_call", {**after, "error": error} if error else after, ctx)
        self.rest(1.5)

    def run(self, command: str, text: str = "", exit_code: int = 0) -> None:
        """Run a command."""
        self.use("exec", text, exit_code=exit_code, command=command)


def alerts_of(agent: Script, rule: AlertRule, *, size: int = 1, rules: str = "") -> list[Alert]:
    """Return the alerts of one rule, stitched in batches of that size."""
    stitched = Replay(rules=read_rules(rules)).feed_each(agent.events, size)
    assert stitched.rejects == []
    return [alert for alert in stitched.alerts if alert.rule == rule]


def fired(agent: Script) -> set[str]:
    """Return the names of the rules about tools and calls that fired."""
    stitched = Replay(rules=DEFAULTS).feed_each(agent.events, 11)
    return {alert.rule for alert in stitched.alerts if alert.rule in LOOP_RULES and alert.state == "alert"}


LOOP_RULES = frozenset(
    {"redundant_tool_calls", "repeated_result", "reread_file", "tool_loop", "ping_pong", "failing_variants"}
    | {"error_cascade", "retry_storm", "spawn_chain"}
)


def calls_until(agent: Script, rule: AlertRule, hook: str = "after_tool_call") -> int:
    """Return how many calls (ends of tool calls, or another hook) had come when the rule first fired."""
    stitched = Replay(rules=DEFAULTS)
    num_calls = 0
    for event in agent.events:
        num_calls += event.hook == hook
        stitched.feed([event])
        if any(alert.rule == rule and alert.state == "alert" for alert in stitched.alerts):
            return num_calls
    raise AssertionError(f"{rule} has not fired in {num_calls} calls: {json.dumps([a.rule for a in stitched.alerts])}")
