"""Anthropic messages, streamed: reads a request's messages, writes an answer's events.

Upstream: a request body. Downstream: ``provider``.
Guarantee: input and cache tokens come at the start, output tokens at the end, each bucket apart, as Anthropic does.
"""

import json
from typing import TYPE_CHECKING, Any

from tests.openclaw.scenarios import Answer, Turn

if TYPE_CHECKING:
    from tests.openclaw.provider import Entry


def turns_of(body: dict[str, Any]) -> list[Turn]:
    """The conversation of a request; tool results are turns of their own, as in OpenAI's shape."""
    turns = []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = tuple(block["tool_use_id"] for block in blocks if block["type"] == "tool_result")
        text = "\n".join(block["text"] for block in blocks if block["type"] == "text")
        turns.append(Turn("tool" if results and not text else message["role"], text, results))
    return turns


def tools_of(body: dict[str, Any]) -> frozenset[str]:
    """Names of the tools that a request offers."""
    return frozenset(tool["name"] for tool in body.get("tools") or [])


def events_of(entry: "Entry", answer: Answer) -> list[tuple[str, Any]]:
    """The server-sent events of an answer."""
    buckets = entry.buckets
    message = {
        "id": f"msg_{entry.number:06}",
        "type": "message",
        "role": "assistant",
        "model": entry.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": buckets.input_tokens,
            "cache_read_input_tokens": buckets.cache_read_tokens,
            "cache_creation_input_tokens": buckets.cache_write_tokens,
            "output_tokens": 1,
        },
    }
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.thinking:
        deltas = [
            {"type": "thinking_delta", "thinking": answer.thinking},
            {"type": "signature_delta", "signature": "c2lnbmVk"},
        ]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if answer.text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": answer.text}]))
    for call_id, call in zip(entry.tool_calls, answer.tool_calls, strict=True):
        start = {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}
        blocks.append((start, [{"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}]))
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    stop = {"stop_reason": "tool_use" if entry.tool_calls else "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": stop, "usage": {"output_tokens": buckets.output_tokens}})
    events.append({"type": "message_stop"})
    return [(event["type"], event) for event in events]
