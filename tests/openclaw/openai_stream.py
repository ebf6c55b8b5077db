"""OpenAI chat completions, streamed: reads a request's messages, writes an answer's chunks.

Upstream: a request body. Downstream: ``provider``.
Guarantee: usage comes in the last chunk, with cached tokens inside the prompt tokens, as OpenAI does.
"""

import json
from typing import TYPE_CHECKING, Any

from tests.openclaw.scenarios import Answer, Turn

if TYPE_CHECKING:
    from tests.openclaw.provider import Entry


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content or [] if isinstance(part, dict))


def turns_of(body: dict[str, Any]) -> list[Turn]:
    """The conversation of a request."""
    return [
        Turn(
            role=message["role"],
            text=_text(message.get("content")),
            tool_results=(message["tool_call_id"],) if message["role"] == "tool" else (),
        )
        for message in body["messages"]
    ]


def tools_of(body: dict[str, Any]) -> frozenset[str]:
    """Names of the tools that a request offers."""
    return frozenset(tool["function"]["name"] for tool in body.get("tools") or [])


def events_of(entry: "Entry", answer: Answer) -> list[tuple[str, Any]]:
    """The server-sent events of an answer."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if answer.thinking:
        deltas.append({"reasoning_content": answer.thinking})
    half = len(answer.text) // 2
    deltas += [{"content": part} for part in (answer.text[:half], answer.text[half:]) if part]
    for position, (call_id, call) in enumerate(zip(entry.tool_calls, answer.tool_calls, strict=True)):
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        deltas.append({"tool_calls": [{"index": position, "id": call_id, "type": "function", "function": function}]})
    head = {
        "id": f"chatcmpl-{entry.number:06}",
        "object": "chat.completion.chunk",
        "created": int(entry.at_s),
        "model": entry.model,
    }
    chunks: list[tuple[str, Any]] = [
        ("", head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas
    ]
    reason = "tool_calls" if entry.tool_calls else "stop"
    chunks.append(("", head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
    buckets = entry.buckets
    prompt_tokens = buckets.input_tokens + buckets.cache_read_tokens
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": buckets.output_tokens,
        "total_tokens": prompt_tokens + buckets.output_tokens,
        "prompt_tokens_details": {"cached_tokens": buckets.cache_read_tokens},
    }
    chunks.append(("", head | {"choices": [], "usage": usage}))
    chunks.append(("", "[DONE]"))
    return chunks
