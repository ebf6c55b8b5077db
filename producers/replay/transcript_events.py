"""Makes the events that are missing: what a transcript tells of a run, less what is known of it already.

Upstream: ``producers.replay.transcript_runs``, ``producers.replay.known_runs``.
Downstream: ``producers.replay.sender``, then the stitcher like all events.
Guarantee: pure; the same run gives the same spool and the same numbers for the same facts, so that sending it twice
changes nothing even before the tables show the first time; a model call that is known is never sent again.

Which call is which: run id and the moment it began. The hook and the transcript agree to a few milliseconds; only a
call without a partner in that distance may be paired by its four token counts instead.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from producers.contracts.event import Source
from producers.contracts.usage import TokenUsage
from producers.contracts.wire import WireEvent
from producers.replay.transcript_runs import TranscriptCall, TranscriptRun, TranscriptTool, root_of, text_of_content

IMPORT_SOURCE: Final = Source(name="clawtrace-import", version="1")
# Any constant UUID; another one would make other ids of the same transcripts.
SPOOL_NAMESPACE: Final = uuid.UUID("3b0c7b8e-9d55-5a57-8b2e-51a7e4a0c9d2")
SAME_CALL_MS: Final = 100
NEAR_CALL_MS: Final = 600_000

_EPOCH_MS: Final = 1_577_836_800_000
_END, _OUTPUT = 6, 7


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A model call in the tables; ``usage`` is None when nobody told its tokens, open when nobody told its end."""

    span_id: str
    started_ms: int
    usage: TokenUsage | None
    has_failed: bool
    is_open: bool = False


@dataclass(slots=True)
class KnownRun:
    """What the tables have of a run."""

    run_id: str
    trace_id: str
    is_open: bool = False
    calls: list[KnownCall] = field(default_factory=list)
    # tool call id -> whether its result is there
    tools: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class RunPlan:
    """What would be sent for one run."""

    run: TranscriptRun
    spool_id: str
    trace_id: str
    is_new: bool
    events: list[WireEvent] = field(default_factory=list)
    num_calls: int = 0
    num_filled_calls: int = 0
    num_tools: int = 0
    usage: TokenUsage = field(default_factory=TokenUsage)


def plan_runs(runs: Mapping[str, TranscriptRun], known: Mapping[str, KnownRun]) -> list[RunPlan]:
    """Work out what is missing of each run; a plan without events has nothing to add."""
    by_id = dict(runs)
    traces: dict[str, str] = {}
    for run_id, it in sorted(known.items()):
        if run_id in by_id:
            # A run of a tree that was partly captured goes where the rest of the tree is.
            root_id = root_of(by_id, by_id[run_id]).run_id
            if run_id == root_id or root_id not in traces:
                traces[root_id] = it.trace_id
    plans = []
    for run in runs.values():
        root_id = root_of(by_id, run).run_id
        trace_id = traces.get(root_id) or _digest(f"transcript|{root_id}", 32)
        plans.append(_plan(run, known.get(run.run_id), trace_id))
    return plans


def _plan(run: TranscriptRun, known: KnownRun | None, trace_id: str) -> RunPlan:
    spool_id = str(uuid.uuid5(SPOOL_NAMESPACE, run.run_id))
    plan = RunPlan(run, spool_id, known.trace_id if known else trace_id, known is None)
    if known is None:
        _add_start(plan)
    partners = match_calls(run.calls, known.calls if known else [])
    for call in run.calls:
        partner = partners.get(call.entry_id)
        if partner is None:
            _add_call(plan, call)
        elif partner.is_open or not (partner.has_failed or _same_tokens(partner.usage or TokenUsage(), call.usage)):
            _put_right(plan, call, partner)
    for tool in run.tools:
        if known is None or not known.tools.get(tool.tool_call_id, False):
            _add_tool(plan, tool)
    if known is None or (known.is_open and run.has_ended):
        _add_end(plan)
    plan.events.sort(key=lambda event: event.seq)
    return plan


def match_calls(calls: list[TranscriptCall], known: list[KnownCall]) -> dict[str, KnownCall]:
    """Pair each answer with the call in the tables that gave it, by entry id; the nearest pairs first."""
    partners: dict[str, KnownCall] = {}
    free = {call.span_id: call for call in known}
    for limit_ms, needs_tokens in ((SAME_CALL_MS, False), (NEAR_CALL_MS, True)):
        pairs = sorted(
            (abs(call.started_ms - other.started_ms), call.entry_id, other.span_id)
            for call in calls
            if call.entry_id not in partners
            for other in free.values()
            if abs(call.started_ms - other.started_ms) <= limit_ms and _may_be(call, other, needs_tokens)
        )
        for _, entry_id, span_id in pairs:
            if entry_id not in partners and span_id in free:
                partners[entry_id] = free.pop(span_id)
    return partners


def _may_be(call: TranscriptCall, other: KnownCall, needs_tokens: bool) -> bool:
    if needs_tokens:
        return other.usage is not None and _same_tokens(other.usage, call.usage)
    # A failed call is followed at once by its retry, which is another call.
    return other.usage is not None or other.has_failed == call.has_failed


def _same_tokens(left: TokenUsage, right: TokenUsage) -> bool:
    gap = left - right
    return not (gap.input_tokens or gap.cache_read_tokens or gap.cache_write_tokens or gap.output_tokens)


# --- events


def _add_start(plan: RunPlan) -> None:
    run = plan.run
    body = {"runId": run.run_id, "sessionId": run.session.session_id, "prompt": run.prompt, **_model_of(run)}
    parent_id = _digest(f"harness|{run.parent_run_id}", 16) if run.is_announcement else ""
    ctx = _ctx(plan, _digest(f"harness|{run.run_id}", 16), parent_id)
    _add(plan, run.started_ms, 0, 0, "llm_input", body, ctx)


def _add_call(plan: RunPlan, call: TranscriptCall) -> None:
    # The same call is found under the same id, whatever was known when it was sent.
    span_id = _digest(f"call|{plan.run.run_id}|{call.entry_id}", 16)
    # A run that is known may have ended; a started call would open it again.
    if plan.is_new:
        _add(plan, call.started_ms, call.place, 1, "model_call_started", _call(plan, call), _ctx(plan, span_id))
    _add_answer(plan, call, span_id)
    plan.num_calls += 1
    plan.usage += call.usage


def _put_right(plan: RunPlan, call: TranscriptCall, partner: KnownCall) -> None:
    """Tell a known call its end and its tokens: it had none, or, over a loss, those of another call's message."""
    _add_answer(plan, call, partner.span_id)
    plan.num_filled_calls += 1
    plan.usage += call.usage - (partner.usage or TokenUsage())


def _add_answer(plan: RunPlan, call: TranscriptCall, span_id: str) -> None:
    message = call.message
    ended = _call(plan, call) | {
        "durationMs": call.ended_ms - call.started_ms,
        "outcome": "error" if call.has_failed else "completed",
    }
    _add(plan, call.ended_ms, call.place, 2, "model_call_ended", ended, _ctx(plan, span_id))
    written: dict[str, object] = {
        "role": "assistant",
        "content": message.content,
        "usage": message.usage,
        "stopReason": message.stop_reason,
        "errorMessage": message.error_message,
        "responseId": message.response_id or call.entry_id,
    }
    # Next to the end of its call, in the same spool and session: that joins the two.
    session = {"sessionKey": plan.run.session.session_key}
    _add(plan, call.ended_ms, call.place, 3, "before_message_write", {"message": _without_nothing(written)}, session)


def _call(plan: RunPlan, call: TranscriptCall) -> dict[str, object]:
    return {"runId": plan.run.run_id, "provider": call.message.provider, "model": call.message.model}


def _add_tool(plan: RunPlan, tool: TranscriptTool) -> None:
    message = tool.message
    about: dict[str, object] = {
        "runId": plan.run.run_id,
        "toolCallId": tool.tool_call_id,
        "toolName": tool.tool_name,
        "params": tool.params,
    }
    after = about | {
        "result": {"content": message.content, "details": message.details},
        "durationMs": tool.ended_ms - tool.started_ms,
    }
    if message.is_error:
        after["error"] = text_of_content(message.content) or "failed"
    _add(plan, tool.started_ms, tool.place, 1, "before_tool_call", about, _ctx(plan))
    _add(plan, tool.ended_ms, tool.place, 2, "after_tool_call", after, _ctx(plan))
    plan.num_tools += 1


def _add_end(plan: RunPlan) -> None:
    run = plan.run
    end: dict[str, object] = {"runId": run.run_id, "success": run.has_ended}
    if not run.has_ended:
        end["error"] = "the transcript ends before the run does"
    _add(plan, run.ended_ms, run.num_entries, _END, "agent_end", end, _ctx(plan))
    if not plan.is_new:
        return
    usage: dict[str, object] = {}
    if plan.usage.total_tokens:
        told = plan.usage
        usage["usage"] = {
            "input": told.input_tokens,
            "output": told.output_tokens,
            "cacheRead": told.cache_read_tokens,
            "cacheWrite": told.cache_write_tokens,
        }
    last = run.calls[-1].message.content if run.calls else msgspec.Raw(b"null")
    output = {"runId": run.run_id, "assistantTexts": last, **_model_of(run), **usage}
    _add(plan, run.ended_ms, run.num_entries, _OUTPUT, "llm_output", output, _ctx(plan))


def _model_of(run: TranscriptRun) -> dict[str, object]:
    if not run.calls:
        return {}
    return {"provider": run.calls[-1].message.provider, "model": run.calls[-1].message.model}


def _ctx(plan: RunPlan, span_id: str = "", parent_span_id: str = "") -> dict[str, object]:
    session = plan.run.session
    trace = {"traceId": plan.trace_id}
    if span_id:
        trace["spanId"] = span_id
    if parent_span_id:
        trace["parentSpanId"] = parent_span_id
    return {
        "runId": plan.run.run_id,
        "sessionKey": session.session_key,
        "sessionId": session.session_id,
        "agentId": session.agent_id,
        "trace": trace,
    }


def _add(
    plan: RunPlan, at_ms: int, place: int, step: int, hook: str, body: Mapping[str, object], ctx: Mapping[str, object]
) -> None:
    # By place in the run, not by row of a file: files are rewritten and archived. Above every number of a spool that
    # the plugin wrote, so that an end that is added to a run counts as its last word.
    seq = (1 << 52) + (place << 3) + step
    plan.events.append(
        WireEvent(
            seq=seq,
            at_us=max(at_ms, _EPOCH_MS) * 1_000,
            hook=hook,
            event=msgspec.Raw(msgspec.json.encode(_without_nothing(body))),
            ctx=msgspec.Raw(msgspec.json.encode(ctx)),
        )
    )


def _without_nothing(fields: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in fields.items()
        if value is not None and not (isinstance(value, msgspec.Raw) and bytes(value) == b"null")
    }


def _digest(name: str, length: int) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:length]
