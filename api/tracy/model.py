"""Asks the model: one streamed call of the Messages API, with its failures in plain words.

Upstream: api/tracy/answer.py, api/learn/proposals.py and judge.py.
Downstream: the anthropic client; Anthropic's server or any that speaks the same.
Guarantee: text comes out as it arrives, then exactly one Reply or one ModelFailed; a stream that was cut is a
failure, never a short answer.
"""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx2
import structlog

from api.tracy.sanitise import storable_text
from api.tracy.settings import TracySettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_log = structlog.get_logger(__name__)

_STATUS_OVERLOADED: Final = 529
# A local server needs no key, but the client refuses to start without one.
_NO_KEY: Final = "none"


class ModelFailed(Exception):
    """The model gave no answer. ``code`` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class TokenUse:
    """Tokens of one or more calls, in four buckets that do not overlap."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    def __add__(self, other: "TokenUse") -> "TokenUse":
        return TokenUse(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
        )

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.cache_read + self.cache_write + self.output


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model wants. ``arguments`` is None when it wrote no JSON."""

    tool_use_id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished call. ``content`` is what must be sent back with the tool results."""

    content: list[dict[str, Any]]
    tool_calls: list[ToolCall]
    stop_reason: str
    use: TokenUse


class Model:
    """The one way from us to a model: one for the whole process. Use it from one event loop."""

    def __init__(self, settings: TracySettings) -> None:
        self._settings = settings
        self._client: AsyncAnthropic | None = None

    async def ask(
        self, system: list[dict[str, Any]], tools: list[dict[str, Any]], messages: list[dict[str, Any]]
    ) -> AsyncIterator[str | Reply]:
        """Yield pieces of text, then the reply.

        Raises:
            ModelFailed: the server is overloaded, away, refuses the key or the request, or cut the stream.
        """
        import anthropic

        blocks: dict[int, dict[str, Any]] = {}
        ends_at_s = time.monotonic() + self._settings.tracy_timeout_s
        use, stop_reason, is_whole = TokenUse(), "", False
        try:
            # The client's own types are unions of hundreds of shapes; ours are made in one place, prompt.py.
            create: Any = self._connected().messages.create
            stream = await create(
                model=self._settings.tracy_model,
                max_tokens=self._settings.tracy_max_answer_tokens,
                system=system,
                tools=tools,
                messages=messages,
                stream=True,
            )
            async with stream:
                async for event in stream:
                    # The client's own timeout begins anew with every piece; a server that drips must end, too.
                    if time.monotonic() > ends_at_s:
                        raise ModelFailed("model-away", "The model took too long. Ask for less at once.")
                    match event.type:
                        case "message_start":
                            use = _use(event.message.usage, use)
                        case "content_block_start":
                            blocks[event.index] = _begin(event.content_block)
                        case "content_block_delta":
                            if text := _grow(blocks.get(event.index), event.delta):
                                yield text
                        case "message_delta":
                            stop_reason = event.delta.stop_reason or stop_reason
                            use = _use(event.usage, use)
                        case "message_stop":
                            is_whole = True
        except anthropic.APIStatusError as error:
            raise _status_failure(error.status_code, error.body) from error
        except anthropic.APITimeoutError as error:
            raise ModelFailed("model-away", "The model did not answer in time. Ask again in a minute.") from error
        except anthropic.APIConnectionError as error:
            raise ModelFailed("model-away", "The model's server cannot be reached. Ask again in a minute.") from error
        except (httpx2.HTTPError, anthropic.AnthropicError, ValueError) as error:
            _log.warning("tracy_stream_broken", reason=type(error).__name__)
            raise _cut() from error
        if not is_whole or not stop_reason:
            raise _cut()
        yield _reply(blocks, stop_reason, use)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    def _connected(self) -> "AsyncAnthropic":
        if self._client is None:
            import anthropic

            settings = self._settings
            self._client = anthropic.AsyncAnthropic(
                api_key=settings.tracy_api_key.get_secret_value() or _NO_KEY,
                base_url=settings.tracy_base_url or None,
                timeout=settings.tracy_timeout_s,
                max_retries=settings.tracy_model_retries,
            )
        return self._client


def price(model: str, use: TokenUse) -> Decimal | None:
    """Return what the tokens cost in dollars; None when the model has no known price."""
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(
            Usage(
                input_tokens=use.input + use.cache_read + use.cache_write,
                cache_read_tokens=use.cache_read,
                cache_write_tokens=use.cache_write,
                output_tokens=use.output,
            ),
            model_ref=model,
            provider_id="anthropic",
        )
    except (LookupError, ValueError):
        return None
    total: Decimal = found.total_price
    return total


def _cut() -> ModelFailed:
    return ModelFailed("model-cut", "The model's answer broke off. Ask again.")


def _status_failure(status: int, body: object) -> ModelFailed:
    kind = ""
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        kind = str(body["error"].get("type", ""))
    _log.warning("tracy_model_failed", status=status, kind=kind[:60])
    if status == _STATUS_OVERLOADED or kind == "overloaded_error":
        return ModelFailed("model-overloaded", "The model is overloaded. Ask again in a minute.")
    if status == 429 or kind == "rate_limit_error":
        return ModelFailed("model-busy", "The model's rate limit is reached. Ask again in a minute.")
    if status in (401, 403):
        return ModelFailed("model-key", "The model's server refuses the key: check CLAWTRACE_TRACY_API_KEY.")
    if status == 404:
        return ModelFailed("model-unknown", "The model's server has no such model: check CLAWTRACE_TRACY_MODEL.")
    if status in (400, 413, 422):
        return ModelFailed("model-refused", "The model's server did not take the question; a new session may help.")
    return ModelFailed("model-error", f"The model's server failed (status {status}). Ask again in a minute.")


def _begin(block: Any) -> dict[str, Any]:
    if block.type == "tool_use":
        return {"type": "tool_use", "id": block.id, "name": block.name, "json": ""}
    if block.type == "text":
        return {"type": "text", "text": block.text or ""}
    return {"type": str(block.type)}


def _grow(block: dict[str, Any] | None, delta: Any) -> str:
    if block is None:
        return ""
    if delta.type == "text_delta" and block["type"] == "text":
        block["text"] += delta.text
        return str(delta.text)
    if delta.type == "input_json_delta" and block["type"] == "tool_use":
        block["json"] += delta.partial_json
    return ""


def _reply(blocks: dict[int, dict[str, Any]], stop_reason: str, use: TokenUse) -> Reply:
    content: list[dict[str, Any]] = []
    calls: list[ToolCall] = []
    for _, block in sorted(blocks.items()):
        if block["type"] == "text" and block["text"].strip():
            # It is sent back with the tools' results, and no request can hold halves of pairs.
            content.append({"type": "text", "text": storable_text(block["text"])})
        elif block["type"] == "tool_use":
            try:
                arguments = json.loads(block["json"] or "{}")
                json.dumps(arguments, ensure_ascii=False).encode()
            except ValueError:
                arguments = None
            is_object = isinstance(arguments, dict)
            calls.append(ToolCall(block["id"], storable_text(block["name"]), arguments if is_object else None))
            content.append(
                {
                    "type": "tool_use",
                    "id": block["id"],
                    "name": storable_text(block["name"]),
                    "input": arguments if is_object else {},
                }
            )
    return Reply(content, calls, stop_reason, use)


def _use(usage: Any, known: TokenUse) -> TokenUse:
    """Take what a part of the stream says; the last word on each bucket counts."""

    def said(name: str, before: int) -> int:
        value = getattr(usage, name, None)
        return before if value is None else int(value)

    return TokenUse(
        said("input_tokens", known.input),
        said("cache_read_input_tokens", known.cache_read),
        said("cache_creation_input_tokens", known.cache_write),
        said("output_tokens", known.output),
    )
