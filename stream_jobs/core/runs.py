"""Runs: when they start, which trace they belong to, how they end.

Upstream: the hooks of a run, lifecycle events, ``subagent_spawned``, session ends.
Downstream: ``RunState``; the tree; spans of kind run.
Guarantee: each fact is kept with its sequence number and the newest counts, so order of arrival does not matter.
"""

from bisect import insort

import msgspec

from producers.contracts.event import Event
from stream_jobs.contracts.labels import checked_labels
from stream_jobs.core.attempts import begin_attempt, end_attempt
from stream_jobs.core.call_usage import settle_remainder, usage_of
from stream_jobs.core.compactions import note_compaction_run
from stream_jobs.core.hook_payloads import (
    RunHook,
    cut_text,
    first_words,
    is_empty,
    read_agent_event,
    read_labels,
    read_lifecycle,
    read_run_hook,
    text_of,
)
from stream_jobs.core.keys import harness_ref, session_ref
from stream_jobs.core.pending import end_pending, forget_pending, note_reply
from stream_jobs.core.silence import hear
from stream_jobs.core.state import NO_SEQ, LinkState, RunState, is_compaction
from stream_jobs.core.tree import give_trace
from stream_jobs.core.workspace import Workspace

MAX_NAME_CHARS = 80
MAX_RECENT_RUNS = 8
MAX_HARNESS_IDS = 256

# Kinds of text a run's input and name can come from; the lowest wins.
_FROM_MODEL_INPUT, _FROM_REPLY, _FROM_RESOLVE = 0, 1, 2
_NAME_RANKS = {"before_agent_reply": 0, "before_model_resolve": 1, "before_agent_run": 2, "llm_input": 3}


def see_run(ws: Workspace, event: Event, harness_id: str | None, harness_parent_id: str | None) -> RunState:
    """Take what every hook of a run tells: that it is there, since when, in which session and trace."""
    run = ws.run(event.run_id or "")
    hear(ws, run, event.seq, event.at_us)
    if run.is_inferred:
        # Until now only its spawn was known; what its own hooks tell takes over.
        run.is_inferred = run.seen = False
        run.started_at_us = 0
    if not run.seen or event.seq < run.first_seq:
        _see_earlier(ws, run, event)
    if not run.started_at_us or event.at_us < run.started_at_us:
        run.started_at_us = event.at_us
        ws.touch(run)
    if event.trace is not None:
        if not run.trace_id:
            give_trace(ws, run, event.trace.trace_id)
            forget_pending(ws, run)
        if harness_id and harness_id not in run.harness_ids:
            _claim_harness(ws, run, harness_id)
        if harness_parent_id and not run.harness_parent_id:
            _set_harness_parent(ws, run, harness_parent_id)
    return run


def _see_earlier(ws: Workspace, run: RunState, event: Event) -> None:
    if not run.seen:
        ws.note("run_started", run.ref, event)
    run.seen = True
    run.first_seq = event.seq
    run.session_key = run.session_key or event.session_key or ""
    run.openclaw_agent_id = run.openclaw_agent_id or event.openclaw_agent_id or ""
    ws.touch(run)
    ws.to_relink[run.run_id] = None
    if not run.session_key:
        return
    if is_compaction(run.run_id):
        note_compaction_run(ws, run)
        return
    session = ws.session(run.session_key)
    recent = [it for it in session.recent if it[1] != run.run_id]
    insort(recent, (event.seq, run.run_id))
    session.recent = recent[-MAX_RECENT_RUNS:]
    ws.change(session_ref(run.session_key, ws.spool_id))
    if event.seq > session.last_seq:
        session.last_seq, session.last_run_id = event.seq, run.run_id


def _claim_harness(ws: Workspace, run: RunState, harness_id: str) -> None:
    if len(run.harness_ids) >= MAX_HARNESS_IDS:
        return
    run.harness_ids = [*run.harness_ids, harness_id]
    ws.change(run.ref)
    ws.put(harness_ref(harness_id), LinkState(run.run_id))
    ws.to_relink.update((run_id, None) for run_id in ws.waiting(harness_id))


def _set_harness_parent(ws: Workspace, run: RunState, harness_parent_id: str) -> None:
    run.harness_parent_id = harness_parent_id
    ws.change(run.ref)
    ws.to_relink[run.run_id] = None
    if not ws.find_harness_run(harness_parent_id):
        ws.wait_for(harness_parent_id, run.run_id)


# --- hooks


def on_run_hook(ws: Workspace, event: Event) -> None:
    """Any hook of a run that only tells that it goes on."""
    _see(ws, event)


def _see(ws: Workspace, event: Event) -> RunState:
    trace = event.trace
    return see_run(ws, event, trace.span_id if trace else None, trace.parent_span_id if trace else None)


def on_run_start(ws: Workspace, event: Event) -> None:
    """before_agent_reply, before_model_resolve, before_agent_run: what the run was asked."""
    run = _see(ws, event)
    run.open_seq = max(run.open_seq, event.seq)
    ws.touch(run)
    if event.hook == "before_agent_reply" and run.session_key:
        note_reply(ws, run, event.seq)
    if run.name_rank <= _NAME_RANKS[event.hook] and run.trigger:
        return
    hook = read_run_hook(event.payload)
    asked = hook.event.cleaned_body or hook.event.prompt
    _take_context(ws, run, event, hook)
    _take_name(run, event, asked)
    rank = _FROM_REPLY if event.hook == "before_agent_reply" else _FROM_RESOLVE
    _take_input(ws, run, event, asked, rank)


def on_llm_input(ws: Workspace, event: Event) -> None:
    """A new attempt begins."""
    run = _see(ws, event)
    hook = read_run_hook(event.payload)
    begin_attempt(ws, run, event)
    run.open_seq = max(run.open_seq, event.seq)
    ws.touch(run)
    _take_context(ws, run, event, hook)
    _take_name(run, event, hook.event.prompt)
    is_first = run.attempt_seqs[0] == event.seq
    if is_first:
        run.input_rank = 9
    if is_first or not run.input_id:
        _take_input(ws, run, event, hook.event.prompt, _FROM_MODEL_INPUT)


def on_llm_output(ws: Workspace, event: Event) -> None:
    """An attempt has ended; its usage is the sum over its model calls."""
    run = _see(ws, event)
    hook = read_run_hook(event.payload)
    _close(ws, run, event)
    run.num_outputs += 1
    usage, reported_usd = usage_of(hook.event.usage)
    if usage is not None:
        run.reported_usage = run.reported_usage + usage
        run.reported_usd += reported_usd or 0
    texts = hook.event.assistant_texts
    output_id = ""
    if not is_empty(texts):
        text, is_cut = cut_text(texts)
        output_id = ws.put_text(event, "o", text)
        run.payload_cut = run.payload_cut or is_cut
        if event.seq > run.output_seq:
            run.output_id, run.output_seq = output_id, event.seq
    end_attempt(ws, run, event, output_id=output_id)
    settle_remainder(ws, run, event)


def on_agent_end(ws: Workspace, event: Event) -> None:
    """An attempt has ended; it says whether it was stopped."""
    run = _see(ws, event)
    _close(ws, run, event)
    hook = read_run_hook(event.payload)
    end_attempt(ws, run, event, is_failed=hook.event.success is False)
    if event.seq > run.end_seq:
        run.end_seq = event.seq
        run.end_failed = hook.event.success is False
        run.end_error = text_of(hook.event.error)


def on_run_labels(ws: Workspace, event: Event) -> None:
    """What the run is to be compared by. Its first attempt says it; another may use another model."""
    run = see_run(ws, event, None, None)
    if run.labels_seq == NO_SEQ or event.seq < run.labels_seq:
        run.labels, run.labels_seq = checked_labels(read_labels(event.payload).event.labels.items()), event.seq
        ws.touch(run)


def on_agent_event(ws: Workspace, event: Event) -> None:
    """The lifecycle's settled end or error is the final word on a run."""
    agent_event = read_agent_event(event.payload).event
    if agent_event.stream != "lifecycle" or not event.run_id:
        ws.counts["ignored"] += 1
        return
    data = read_lifecycle(agent_event.data)
    if data.phase not in ("end", "error") or not data.execution_settled:
        ws.counts["ignored"] += 1
        return
    run = see_run(ws, event, None, None)
    _close(ws, run, event)
    if event.seq > run.verdict_seq:
        run.verdict_seq = event.seq
        run.verdict_failed = data.phase == "error"
        run.verdict_error = text_of(data.error)
    end_pending(ws, event.seq, run_id=run.run_id)


def on_session_end(ws: Workspace, event: Event) -> None:
    """Runs of the session that have shown no trace so far will not."""
    if event.session_key:
        session = ws.session(event.session_key)
        session.end_seq = max(session.end_seq, event.seq)
        ws.change(session_ref(event.session_key, ws.spool_id))
        end_pending(ws, event.seq, session_key=event.session_key)


def on_gateway_stop(ws: Workspace, event: Event) -> None:
    """The same, for every session of the process."""
    end_pending(ws, event.seq)


def _close(ws: Workspace, run: RunState, event: Event) -> None:
    run.close_seq = max(run.close_seq, event.seq)
    run.closed_at_us = max(run.closed_at_us, event.at_us)
    ws.touch(run)


def _take_context(ws: Workspace, run: RunState, event: Event, hook: RunHook) -> None:
    provider = hook.event.provider or hook.ctx.model_provider_id
    model = hook.event.model or hook.ctx.model_id
    if model and event.seq > run.model_seq:
        run.provider, run.model, run.model_seq = provider or "", model, event.seq
    if not run.trigger and hook.ctx.trigger:
        run.trigger = hook.ctx.trigger
        # Whose upkeep a run is may decide which run of the trace is the root.
        ws.to_relink[run.run_id] = None
    if event.payload_ref:
        run.payload_ref = event.payload_ref


def _take_name(run: RunState, event: Event, asked: msgspec.Raw) -> None:
    rank = _NAME_RANKS[event.hook]
    if rank < run.name_rank and (name := first_words(asked, MAX_NAME_CHARS)):
        run.name, run.name_rank = name, rank


def _take_input(ws: Workspace, run: RunState, event: Event, asked: msgspec.Raw, rank: int) -> None:
    if rank < run.input_rank and not is_empty(asked):
        text, is_cut = cut_text(asked)
        run.input_id, run.input_rank = ws.put_text(event, "i", text), rank
        run.payload_cut = run.payload_cut or is_cut
