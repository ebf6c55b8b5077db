"""Writes the hooks of small made-up runs, for what no capture shows."""

from typing import Any

from producers.contracts.event import Event
from tests.unit.stream_jobs.core.stitching import make_event

START_MS = 1_795_413_472_000
TRACE_ID = "a" * 32
SESSION = "agent:main:one"


class Script:
    """Makes events in order, one sequence number and ten milliseconds apart."""

    def __init__(self, *, run_id: str = "run-1", session: str = SESSION, trace_id: str = TRACE_ID) -> None:
        self.run_id = run_id
        self.session = session
        self.trace_id = trace_id
        self.harness_id = f"harness-{run_id}"
        self.events: list[Event] = []
        self._num_calls = 0

    def at(self, run_id: str, session: str, harness_id: str | None = None) -> "Script":
        """Go on with another run."""
        self.run_id, self.session = run_id, session
        self.harness_id = harness_id or f"harness-{run_id}"
        return self

    def hook(self, hook: str, event: dict[str, Any], ctx: dict[str, Any] | None = None) -> Event:
        """Add any hook."""
        seq = len(self.events)
        made = make_event(seq, hook, START_MS + 10 * seq, event, ctx or {})
        self.events.append(made)
        return made

    def trace(self, span_id: str, parent_span_id: str | None = None) -> dict[str, Any]:
        found = {"traceId": self.trace_id, "spanId": span_id}
        return {**found, "parentSpanId": parent_span_id} if parent_span_id else found

    def run_ctx(self, parent: str | None = None, *, with_trace: bool = True) -> dict[str, Any]:
        ctx: dict[str, Any] = {"runId": self.run_id, "agentId": "main", "sessionKey": self.session, "trigger": "user"}
        return {**ctx, "trace": self.trace(self.harness_id, parent)} if with_trace else ctx

    def reply(self, text: str = "Do it") -> Event:
        return self.hook("before_agent_reply", {"cleanedBody": text}, self.run_ctx(with_trace=False))

    def begin(self, prompt: str = "Do it", parent: str | None = None) -> Event:
        event = {"runId": self.run_id, "provider": "fake", "model": "sim-1", "prompt": prompt}
        return self.hook("llm_input", event, self.run_ctx(parent))

    def call(self, *, tokens: int | None = 1000, outcome: str = "completed", **usage: Any) -> str:
        """Add a model call and, unless tokens is None, its message; returns the span id."""
        self._num_calls += 1
        span_id = f"call-{self._num_calls}"
        event = {"runId": self.run_id, "callId": f"{self.run_id}:model:1", "sessionKey": self.session}
        event |= {"provider": usage.pop("provider", "fake"), "model": "sim-1"}
        ctx = {"runId": self.run_id, "trace": self.trace(span_id, f"run-{self.run_id}")}
        self.hook("model_call_started", event, ctx)
        self.hook("model_call_ended", {**event, "durationMs": 9, "outcome": outcome}, ctx)
        if tokens is not None:
            self.message(tokens, **usage)
        return span_id

    def message(self, tokens: int, response_id: str | None = "r-1", stop: str = "stop", error: str = "") -> Event:
        usage = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0}
        message: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": "Hm"}]}
        message |= {"usage": usage, "stopReason": stop, "responseId": response_id}
        if error:
            message["errorMessage"] = error
        return self.hook("before_message_write", {"message": message}, {"sessionKey": self.session})

    def tool(self, tool_call_id: str, name: str = "exec", **after: Any) -> None:
        """Add a tool call; ``after`` goes into after_tool_call."""
        event = {"toolName": name, "runId": self.run_id, "toolCallId": tool_call_id, "params": {"a": 1}}
        ctx = {"runId": self.run_id, "sessionKey": self.session}
        span = {"trace": self.trace(f"run-{self.run_id}", self.harness_id)}
        self.hook("before_tool_call", event, {**ctx, **span})
        self.hook("after_tool_call", {**event, "result": {"content": []}, "durationMs": 5, **after}, ctx)

    def end(self, tokens: int | None = None) -> Event:
        event: dict[str, Any] = {"runId": self.run_id, "assistantTexts": ["Done"]}
        if tokens is not None:
            event["usage"] = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0}
        return self.hook("llm_output", event, self.run_ctx())

    def lifecycle(self, phase: str, **data: Any) -> Event:
        event = {"runId": self.run_id, "sessionKey": self.session, "stream": "lifecycle"}
        return self.hook("agent_event", {**event, "data": {"phase": phase, "executionSettled": True, **data}})
