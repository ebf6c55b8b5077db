"""Records Tracy's own runs in ClawTrace, as events that any agent could have sent.

Upstream: api/tracy/service.py and api/learn/distiller.py, after an answer.
Downstream: the gateway's POST /v1/events, under the observe key of the settings.
Guarantee: never in the way of an answer: sent afterwards, in the background, once, and a failure is a line in the
log. Neither the question nor what tools returned is in it: they belong to the tenant who asked, the record to
whoever runs ClawTrace.
"""

import asyncio
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import structlog

from api.tracy.answer import Step
from api.tracy.settings import TracySettings

_log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 5.0
_LONGEST_END_S: Final = 5.0
_PROVIDER: Final = "anthropic"


@dataclass(slots=True)
class OwnRun:
    """One run of ours. ``session`` and ``prompt`` are words of ours; ``failed`` is the code of what ended it."""

    session: str
    prompt: str
    steps: list[Step] = field(default_factory=list)
    failed: str | None = None


def wire_batch(run: OwnRun, run_id: str) -> dict[str, Any]:
    """Return the wire batch of one run."""
    trace_id, root_id = secrets.token_hex(16), secrets.token_hex(8)
    ctx = {
        "runId": run_id,
        "agentId": "tracy",
        "sessionKey": f"agent:tracy:{run.session}",
        "trace": {"traceId": trace_id, "spanId": root_id},
    }
    hooks: list[tuple[int, str, dict[str, Any], dict[str, Any]]] = []
    first_us = min((step.began_at_us for step in run.steps), default=0)
    hooks.append((first_us, "before_agent_run", {"prompt": run.prompt}, ctx))
    num_calls = 0
    for step in run.steps:
        if step.kind == "model":
            num_calls += 1
            hooks += _model_call(step, num_calls, run_id, ctx)
        else:
            hooks += _tool_call(step, run_id, ctx)
    last_us = max((step.ended_at_us for step in run.steps), default=first_us)
    ended = {"runId": run_id, "success": run.failed is None, "durationMs": (last_us - first_us) // 1_000}
    hooks.append((last_us, "agent_end", ended if run.failed is None else {**ended, "error": run.failed}, ctx))
    return {
        "schema_version": 1,
        "source": {"name": "tracy", "version": "1", "host_version": "1"},
        "spool_id": str(uuid.uuid4()),
        "events": [
            {"seq": seq, "at_us": at_us, "hook": hook, "event": event, "ctx": context}
            for seq, (at_us, hook, event, context) in enumerate(hooks)
        ],
    }


def _model_call(
    step: Step, number: int, run_id: str, ctx: dict[str, Any]
) -> list[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    call = {"runId": run_id, "callId": f"{run_id}:model:{number}", "provider": _PROVIDER, "model": step.name}
    call_ctx = {
        **ctx,
        "trace": {**ctx["trace"], "spanId": secrets.token_hex(8), "parentSpanId": ctx["trace"]["spanId"]},
    }
    use = step.use
    message = {
        "role": "assistant",
        "content": [],
        "provider": _PROVIDER,
        "model": step.name,
        "usage": {
            "input": use.input,
            "output": use.output,
            "cacheRead": use.cache_read,
            "cacheWrite": use.cache_write,
            "totalTokens": use.total,
        },
    }
    duration_ms = (step.ended_at_us - step.began_at_us) // 1_000
    return [
        (step.began_at_us, "model_call_started", call, call_ctx),
        (step.ended_at_us, "model_call_ended", {**call, "durationMs": duration_ms, "outcome": "completed"}, call_ctx),
        (step.ended_at_us, "before_message_write", {"message": message}, {**ctx, "trace": ctx["trace"]}),
    ]


def _tool_call(step: Step, run_id: str, ctx: dict[str, Any]) -> list[tuple[int, str, dict[str, Any], dict[str, Any]]]:
    call = {"runId": run_id, "toolName": step.name, "toolCallId": step.tool_use_id, "params": {}}
    ended = {**call, "durationMs": (step.ended_at_us - step.began_at_us) // 1_000}
    if step.is_error:
        ended["error"] = "refused"
    return [(step.began_at_us, "before_tool_call", call, ctx), (step.ended_at_us, "after_tool_call", ended, ctx)]


class OwnTraces:
    """Sends records in the background: nobody who asked waits for one."""

    def __init__(self, settings: TracySettings) -> None:
        self._settings = settings
        # The loop holds its tasks weakly; without this one could vanish half done.
        self._sending: set[asyncio.Task[bool]] = set()

    def record(self, run: OwnRun) -> None:
        """Begin to send the record of a run."""
        task = asyncio.ensure_future(send_own_trace(self._settings, run))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def aclose(self) -> None:
        """Let what is being sent end, for a while."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=_LONGEST_END_S)


async def send_own_trace(settings: TracySettings, run: OwnRun) -> bool:
    """Send the record of a run; False when there is no key, nothing to tell, or the gateway did not take it."""
    key = settings.tracy_observe_key.get_secret_value()
    if not key or not run.steps:
        return False
    batch = wire_batch(run, f"tracy-{uuid.uuid4()}")
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            taken = await client.post(
                f"{settings.gateway_url}/v1/events", json=batch, headers={"Authorization": f"Bearer {key}"}
            )
    except httpx2.HTTPError as error:
        _log.warning("tracy_trace_not_sent", reason=type(error).__name__)
        return False
    if taken.status_code != httpx2.codes.ACCEPTED:
        _log.warning("tracy_trace_not_taken", status=taken.status_code)
        return False
    return True
