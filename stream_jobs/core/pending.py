"""Runs whose first hooks name no trace: they wait, unseen, until one does or until they have surely ended.

Upstream: ``before_agent_reply``, which comes before OpenClaw opens the trace of a run.
Downstream: the trace of a run that never got one (a provider on cooldown, a turn that a plugin answered).
Guarantee: such a run gets a trace of its own only after a sign that it has ended (its final lifecycle event, a
later run of its session, the end of its session, the stop of the gateway) and once every event between its start
and that sign has arrived without naming a trace. Without any sign it stays unseen: there are no timers here.
"""

from stream_jobs.core.intervals import is_gapless
from stream_jobs.core.keys import session_ref
from stream_jobs.core.state import NO_SEQ, PendingRun, RunState, SessionState
from stream_jobs.core.tree import derived_trace_id, give_trace
from stream_jobs.core.workspace import Workspace

# More runs than this do not wait at once in one process; the oldest is let go.
MAX_PENDING = 256


def note_reply(ws: Workspace, run: RunState, seq: int) -> None:
    """A run begins in its session: it waits for its trace, and those that waited before it have ended."""
    session = ws.session(run.session_key)
    if not run.trace_id:
        _add_pending(ws, run, seq, session)
    end_pending(ws, seq, session_key=run.session_key, but_run_id=run.run_id)
    if seq > session.reply_seq:
        session.reply_seq, session.reply_run_id = seq, run.run_id
        ws.change(session_ref(run.session_key, ws.spool_id))


def _add_pending(ws: Workspace, run: RunState, seq: int, session: SessionState) -> None:
    spool = ws.spool()
    pending = PendingRun(run.run_id, run.session_key, seq)
    spool.pending = [*(it for it in spool.pending if it.run_id != run.run_id), pending][-MAX_PENDING:]
    # Signs of its end that have come before it.
    end_seqs = [run.verdict_seq, session.end_seq]
    if session.reply_run_id != run.run_id:
        end_seqs.append(session.reply_seq)
    for end_seq in end_seqs:
        end_pending(ws, end_seq, run_id=run.run_id)


def forget_pending(ws: Workspace, run: RunState) -> None:
    spool = ws.spool()
    if spool.pending:
        spool.pending = [it for it in spool.pending if it.run_id != run.run_id]


def end_pending(
    ws: Workspace, seq: int, *, session_key: str | None = None, run_id: str | None = None, but_run_id: str = ""
) -> None:
    """Note a sign that runs which wait have ended: those of a session, one run, or all of the spool."""
    for pending in ws.spool().pending:
        if (
            seq > pending.first_seq
            and pending.run_id != but_run_id
            and session_key in (None, pending.session_key)
            and run_id in (None, pending.run_id)
            and (pending.end_seq == NO_SEQ or seq < pending.end_seq)
        ):
            pending.end_seq = seq


def settle_pending(ws: Workspace) -> None:
    """Give a trace of their own to runs that have surely ended without one."""
    spool = ws.spool()
    for pending in list(spool.pending):
        if pending.end_seq == NO_SEQ or not is_gapless(spool.ranges, pending.first_seq, pending.end_seq):
            continue
        spool.pending = [it for it in spool.pending if it.run_id != pending.run_id]
        run = ws.run(pending.run_id)
        if not run.trace_id:
            run.is_given_up = True
            give_trace(ws, run, derived_trace_id(ws.tenant_id, ws.agent_id, run.run_id))
