"""Tells made-up stories of runs in hooks, and watches which alerts they raise and after how many model calls."""

import hashlib
from collections.abc import Iterator
from typing import Any

from producers.contracts.event import Event
from stream_jobs.contracts.alert import Alert
from stream_jobs.core.detect.rulebook import RuleBook
from stream_jobs.core.stitch import read_rules, tick_agent
from tests.unit.stream_jobs.core.stitching import Replay, make_event

# A Monday at 00:00 UTC.
START_MS = 1_795_392_000_000
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
DEFAULTS = read_rules("")


class Story:
    """Makes events in order; time passes only as told, but for a millisecond an event."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now_ms = START_MS
        self._num = 0

    def wait(self, milliseconds: float) -> None:
        self.now_ms += round(milliseconds)

    def until(self, at_ms: int) -> None:
        self.now_ms = max(self.now_ms, at_ms)

    def hook(self, hook: str, event: dict[str, Any], ctx: dict[str, Any] | None = None) -> None:
        self.now_ms += 1
        self.events.append(make_event(len(self.events), hook, self.now_ms, event, ctx or {}))

    def next_id(self, prefix: str) -> str:
        self._num += 1
        return f"{prefix}-{self._num}"

    def run(self, session: str = "agent:main:work", *, parent: "Run | None" = None, run_id: str = "") -> "Run":
        """Begin a run; with a parent it is of a sub-agent."""
        return Run(self, session, parent, run_id)

    def work(self, session: str = "agent:main:work", *, num_calls: int = 4, tokens: int = 5_000) -> None:
        """An ordinary run: a few calls with a tool between them."""
        run = self.run(session)
        for number in range(num_calls):
            run.call(tokens)
            if number < num_calls - 1:
                run.tool("read")
            self.wait(5 * SECOND_MS)
        run.end()


class Run:
    """One run of a story."""

    def __init__(self, story: Story, session: str, parent: "Run | None", run_id: str) -> None:
        self.story, self.session = story, session
        self.run_id = run_id or story.next_id("run")
        self.trace_id: str = parent.trace_id if parent else hashlib.sha256(self.run_id.encode()).hexdigest()[:32]
        self.harness_id = f"harness-{self.run_id}"
        if parent is not None:
            ctx = {"requesterSessionKey": parent.session, "childSessionKey": session, "runId": self.run_id}
            story.hook("subagent_spawned", {"runId": self.run_id, "childSessionKey": session}, ctx)
        self.attempt()

    def _ctx(self) -> dict[str, Any]:
        trace = {"traceId": self.trace_id, "spanId": self.harness_id}
        return {"runId": self.run_id, "agentId": "main", "sessionKey": self.session, "trigger": "user", "trace": trace}

    def attempt(self) -> None:
        event = {"runId": self.run_id, "provider": "fake", "model": "sim-1", "prompt": "Do it"}
        self.story.hook("llm_input", event, self._ctx())

    def call(
        self,
        fresh: int = 1_000,
        *,
        cached: int = 0,
        output: int = 0,
        model: str = "sim-1",
        outcome: str = "completed",
        is_answered: bool = True,
        usage: dict[str, int] | None = None,
    ) -> None:
        """A model call and its message."""
        span_id = self.story.next_id("call")
        event = {"runId": self.run_id, "callId": f"{self.run_id}:model:1", "sessionKey": self.session}
        event |= {"provider": "fake", "model": model}
        trace = {"traceId": self.trace_id, "spanId": span_id, "parentSpanId": f"span-{self.run_id}"}
        ctx = {"runId": self.run_id, "trace": trace}
        self.story.hook("model_call_started", event, ctx)
        if not is_answered:
            return
        self.story.hook("model_call_ended", {**event, "durationMs": 1, "outcome": outcome}, ctx)
        told = usage or {"input": fresh, "output": output, "cacheRead": cached, "cacheWrite": 0}
        message = {"role": "assistant", "content": [], "usage": told, "stopReason": "toolUse", "responseId": span_id}
        if outcome != "completed":
            message |= {"stopReason": "error", "errorMessage": "429 too many requests", "usage": {}}
        self.story.hook("before_message_write", {"message": message}, {"sessionKey": self.session})

    def tool(
        self, name: str = "exec", *, error: str = "", is_answered: bool = True, num_before: int = 1, **details: Any
    ) -> None:
        """A tool call; without an answer after_tool_call is missing."""
        tool_call_id = self.story.next_id("tool")
        event: dict[str, Any] = {"toolName": name, "runId": self.run_id, "toolCallId": tool_call_id}
        # Never twice the same, which would be a matter of other rules.
        event["params"] = {"path": hashlib.sha256(tool_call_id.encode()).hexdigest()}
        ctx = {"runId": self.run_id, "sessionKey": self.session}
        trace = {"traceId": self.trace_id, "spanId": f"span-{self.run_id}", "parentSpanId": self.harness_id}
        for _ in range(num_before):
            self.story.hook("before_tool_call", event, {**ctx, "trace": trace})
        if is_answered:
            after: dict[str, Any] = {"result": {"content": [], "details": details}, "durationMs": 1}
            self.story.hook("after_tool_call", {**event, **after, **({"error": error} if error else {})}, ctx)

    def output(self) -> None:
        self.story.hook("llm_output", {"runId": self.run_id, "assistantTexts": ["Done"]}, self._ctx())

    def end(self, error: str = "") -> None:
        """The last words on a run."""
        self.output()
        self.settle(error)

    def settle(self, error: str = "") -> None:
        data: dict[str, Any] = {"phase": "error" if error else "end", "executionSettled": True}
        event = {"runId": self.run_id, "sessionKey": self.session, "stream": "lifecycle"}
        self.story.hook("agent_event", {**event, "data": {**data, **({"error": error} if error else {})}})


def watch(story: Story, *, size: int = 500, rules: RuleBook = DEFAULTS) -> Replay:
    """Replay a whole story by the default rules."""
    return Replay(rules=rules).feed_each(story.events, size)


def go_on(replay: Replay, story: Story, since: int = 0, size: int = 500) -> None:
    """Replay what a story told since it had so many events."""
    replay.feed_each(story.events[since:], size)


def tick(replay: Replay, at_ms: int) -> list[Alert]:
    """Let the server's clock tell that time has passed."""
    result = tick_agent(replay.store, "acme01", "box-1", at_ms * 1_000, replay.next_rev, replay.pricer, replay.rules)
    replay.next_rev += 1
    for key, value in result.changes.items():
        if value is None:
            replay.store.pop(key, None)
        else:
            replay.store[key] = value
    replay.spans.update((span.span_id, span) for span in result.spans)
    replay.alerts += result.alerts
    return result.alerts


def calls_until(replay: Replay, events: list[Event], rule: str) -> tuple[int, Alert]:
    """Feed events one by one; return how many model calls had ended when a rule fired, and the alert."""
    num_calls = 0
    for event in events:
        num_calls += event.hook == "model_call_ended"
        for alert in replay.feed([event]).alerts:
            if alert.rule == rule and alert.state in ("alert", "no_data"):
                return num_calls, alert
    raise AssertionError(f"{rule} never fired in {num_calls} model calls; {[it.rule for it in replay.alerts]} did")


def states(alerts: list[Alert]) -> Iterator[tuple[str, str]]:
    """Rule and state of each alert."""
    return ((alert.rule, alert.state) for alert in alerts)


def last_words(replay: Replay) -> set[tuple[str, str, int, str, tuple[tuple[str, str], ...]]]:
    """What was last said of each alert, whatever the batches were."""
    last = {alert.alert_id: alert for alert in replay.alerts}
    return {(it.rule, it.state, it.at_us, it.message, tuple(it.evidence.items())) for it in last.values()}
