"""Sub-agents: asked for, and what their requester was told of their end.

Upstream: ``subagent_spawned``, results of the tools that spawn, ``subagent_ended``.
Downstream: runs; facts ``subagent_spawned`` and ``subagent_died``.
Guarantee: a sub-agent whose end was told has a span, even when no hook of its own ever came; one that died is an error.
"""

from typing import Final

from producers.contracts.event import Event
from stream_jobs.core.facts import Fact
from stream_jobs.core.hook_payloads import first_words, read_run_hook, read_subagent_end, text_of
from stream_jobs.core.keys import session_ref
from stream_jobs.core.silence import infer_run
from stream_jobs.core.state import NO_SEQ, RunState, SessionState
from stream_jobs.core.workspace import Workspace

DEATHS: Final = frozenset({"error", "timeout", "killed"})
_MAX_LABEL_CHARS = 40


def on_subagent_spawned(ws: Workspace, event: Event) -> None:
    """A run of a child session was asked for; the run's own hooks come later."""
    hook = read_run_hook(event.payload)
    run = ws.run(event.run_id or "")
    run.requester_session = run.requester_session or hook.ctx.requester_session_key or ""
    label = first_words(hook.event.label, _MAX_LABEL_CHARS)
    if label and not run.label:
        run.label = label
        ws.touch(run)
    if not run.seen:
        run.openclaw_agent_id = run.openclaw_agent_id or event.openclaw_agent_id or ""
    ws.note("subagent_spawned", run.ref, event)
    note_spawn(ws, run, hook.ctx.child_session_key or "", event)
    ws.to_relink[run.run_id] = None


def note_spawn(ws: Workspace, run: RunState, session_key: str, event: Event) -> None:
    """Note that a run was asked for, and in which session."""
    run.session_key = run.session_key or session_key
    is_earliest = run.spawn_seq == NO_SEQ or event.seq < run.spawn_seq
    run.spawn_seq = event.seq if is_earliest else run.spawn_seq
    run.spawned_at_us = min(run.spawned_at_us or event.at_us, event.at_us)
    if run.is_inferred:
        infer_run(ws, run)
    ws.change(run.ref)
    ws.heard.setdefault(run.run_id, run)
    if not session_key:
        return
    session = ws.session(session_key)
    if event.seq > session.spawned_seq:
        session.spawned_seq, session.spawned_run_id = event.seq, run.run_id
        ws.change(session_ref(session_key, ws.spool_id))
        _tell_end(ws, session)


def on_subagent_ended(ws: Workspace, event: Event) -> None:
    """The requester is told that a sub-agent has ended; this may come minutes late.

    The run it names can be the session's last one, an announcement; which one was spawned is known by the session.
    """
    told = read_subagent_end(event.payload).event
    if not told.target_session_key:
        ws.counts["ignored"] += 1
        return
    session = ws.session(told.target_session_key)
    if event.seq <= session.told_end_seq:
        return
    session.told_end_seq = event.seq
    session.told_ended_at_us = event.at_us
    if told.ended_at is not None and 0 < told.ended_at * 1_000 < event.at_us:
        session.told_ended_at_us = round(told.ended_at * 1_000)
    session.told_outcome = told.outcome or ""
    session.told_error = text_of(told.error) or told.reason or ""
    ws.change(session_ref(told.target_session_key, ws.spool_id))
    _tell_end(ws, session)


def _tell_end(ws: Workspace, session: SessionState) -> None:
    if not session.spawned_run_id or session.told_end_seq == NO_SEQ:
        return
    run = ws.run(session.spawned_run_id)
    if session.told_end_seq <= run.told_end_seq:
        return
    run.told_end_seq, run.told_ended_at_us = session.told_end_seq, session.told_ended_at_us
    run.told_outcome, run.told_error = session.told_outcome, session.told_error
    if not run.seen:
        infer_run(ws, run)
    ws.touch(run)
    if run.told_outcome in DEATHS:
        ws.facts.append(Fact("subagent_died", run.ref, run.told_ended_at_us, run.told_end_seq))
