"""What must come out of a capture, worked out from its lines alone: the independent oracle of the path tests."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.captures import hook_lines

BUCKETS = {
    "input_tokens": "input",
    "cache_read_tokens": "cacheRead",
    "cache_write_tokens": "cacheWrite",
    "output_tokens": "output",
}


@dataclass
class Expected:
    """Facts of one capture."""

    num_events: int = 0
    model_call_spans: set[str] = field(default_factory=set)
    tool_call_ids: set[str] = field(default_factory=set)
    tokens: Counter[str] = field(default_factory=Counter)
    # spawned run -> the tool call that spawned it
    spawned_by: dict[str, str] = field(default_factory=dict)
    trace_ids: set[str] = field(default_factory=set)
    reported_cost_usd: float = 0.0


def expected_of(scenario: str) -> Expected:
    """Read a capture and count what is in it.

    Each assistant message is counted once, by its response id: most come through ``before_message_write``, one
    (the call of an unknown tool) only shows in ``agent_end.messages``.
    """
    expected = Expected()
    answers: dict[str, dict[str, Any]] = {}
    for line in hook_lines(scenario):
        event, ctx = line["event"], line["ctx"]
        expected.num_events += 1
        if trace_id := (ctx.get("trace") or {}).get("traceId"):
            expected.trace_ids.add(trace_id)
        if line["hook"] in ("model_call_started", "model_call_ended"):
            expected.model_call_spans.add(ctx["trace"]["spanId"])
        if tool_call_id := event.get("toolCallId") or ctx.get("toolCallId"):
            expected.tool_call_ids.add(tool_call_id)
        if line["hook"] == "before_message_write":
            _note_answer(event["message"], answers)
        if line["hook"] == "agent_end":
            for message in event.get("messages", []):
                _note_answer(message, answers)
        if line["hook"] == "after_tool_call":
            details = (event.get("result") or {}).get("details")
            if isinstance(details, dict) and details.get("childSessionKey") and details.get("runId"):
                # Tool search runs a tool inside a tool, and both report the child; the inner one spawned it.
                known = expected.spawned_by.get(details["runId"], "")
                expected.spawned_by[details["runId"]] = max(known, event["toolCallId"], key=len)
    for message in answers.values():
        usage = message["usage"]
        for column, name in BUCKETS.items():
            expected.tokens[column] += usage.get(name, 0)
        expected.reported_cost_usd += usage["cost"]["total"]
    return expected


def _note_answer(message: dict[str, Any], answers: dict[str, dict[str, Any]]) -> None:
    if message.get("role") == "assistant" and message.get("responseId") and message.get("usage"):
        answers.setdefault(message["responseId"], message)
