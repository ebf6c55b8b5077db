"""Compactions: the hooks around one, and the run that does the work, are one span.

Upstream: ``before_compaction`` and ``after_compaction``, which name only a session; model calls of compaction runs.
Downstream: ``RunState`` of the compaction, shown as a span of kind compaction.
Guarantee: a hook is joined to its neighbour in the session only once all events between the two have arrived, so what
is joined never changes. A compaction without model calls of its own is shown under the newest run before it.
"""

from bisect import insort
from itertools import pairwise

import msgspec

from producers.contracts.event import Event
from stream_jobs.core.hook_payloads import read_compaction
from stream_jobs.core.intervals import is_gapless
from stream_jobs.core.keys import run_ref
from stream_jobs.core.silence import infer_run
from stream_jobs.core.state import CompactionSign, RunState, SpoolState
from stream_jobs.core.workspace import Workspace

MAX_SIGNS = 32

_BEFORE, _RUN, _AFTER = "b", "r", "a"


def on_compaction_hook(ws: Workspace, event: Event) -> None:
    """before_compaction, after_compaction: how much there is, how much is left."""
    if not event.session_key:
        ws.counts["ignored"] += 1
        return
    is_before = event.hook == "before_compaction"
    text_id = ws.put_text(event, "i" if is_before else "o", msgspec.json.encode(read_compaction(event.payload).event))
    # OpenClaw's own form of such a run's id, for a compaction that asks no model.
    run_id = f"{event.session_id or event.session_key}:compaction:{event.event_id}"
    what = _BEFORE if is_before else _AFTER
    _add(ws, CompactionSign(event.seq, what, event.session_key, run_id, event.at_us, text_id))


def note_compaction_run(ws: Workspace, run: RunState) -> None:
    """A compaction's run has shown itself, or earlier than was known."""
    spool = ws.spool()
    known = [it for it in spool.compactions if it.what == _RUN and it.run_id == run.run_id]
    for sign in known:
        spool.compactions.remove(sign)
    if not run.input_id:
        is_closed = any(it.is_closed for it in known)
        _add(ws, CompactionSign(run.first_seq, _RUN, run.session_key, run.run_id, is_closed=is_closed))


def _add(ws: Workspace, sign: CompactionSign) -> None:
    spool = ws.spool()
    insort(spool.compactions, sign)
    spool.compactions = spool.compactions[-MAX_SIGNS:]


def settle_compactions(ws: Workspace) -> None:
    """Join neighbours between which nothing can come any more, and forget what is joined on both sides."""
    spool = ws.spool()
    by_session: dict[str, list[CompactionSign]] = {}
    for sign in spool.compactions:
        by_session.setdefault(sign.session_key, []).append(sign)
    for signs in by_session.values():
        for left, right in pairwise(signs):
            if is_gapless(spool.ranges, left.seq, right.seq):
                _join(ws, spool, left, right)


def _join(ws: Workspace, spool: SpoolState, left: CompactionSign, right: CompactionSign) -> None:
    """Join two neighbours. A hook is done with then, a run when it is joined to its beginning and to its end."""
    if left.what == _BEFORE and right.what == _RUN:
        _begin(ws, ws.run(right.run_id), left)
        _forget(spool, left)
        if right.is_closed:
            _forget(spool, right)
    elif left.what == _RUN:
        is_begun = bool(ws.run(left.run_id).input_id)
        if right.what == _AFTER and not left.is_closed:
            _end(ws, ws.run(left.run_id), right)
            _forget(spool, right)
            left.is_closed = True
        if is_begun:
            _forget(spool, left)
    elif left.what == _BEFORE and right.what == _AFTER:
        if _infer(ws, spool, left):
            _end(ws, ws.run(left.run_id), right)
            _forget(spool, left)
            _forget(spool, right)
    elif left.what == _BEFORE:
        _forget(spool, left)
    # An end waits for its run: what was seen of that may have come after it, as diagnostic events do.


def _forget(spool: SpoolState, sign: CompactionSign) -> None:
    spool.compactions = [it for it in spool.compactions if it.seq != sign.seq]


def _begin(ws: Workspace, run: RunState, sign: CompactionSign) -> None:
    run.started_at_us = min(run.started_at_us or sign.at_us, sign.at_us)
    run.input_id = sign.text_id
    ws.touch(run)


def _end(ws: Workspace, run: RunState, sign: CompactionSign) -> None:
    run.close_seq = max(run.close_seq, sign.seq)
    run.closed_at_us = max(run.closed_at_us, sign.at_us)
    run.output_id = sign.text_id
    ws.touch(run)


def _infer(ws: Workspace, spool: SpoolState, before: CompactionSign) -> bool:
    """Make the run of a compaction that asked no model; False while the run it served may still come to light."""
    session = ws.session(before.session_key)
    earlier = [it for it in session.recent if it[0] < before.seq]
    if not earlier or not is_gapless(spool.ranges, earlier[-1][0], before.seq):
        return False
    run = ws.run(before.run_id)
    run.spawn_ref, run.session_key = run_ref(earlier[-1][1]), before.session_key
    run.spawn_seq, run.spawned_at_us = before.seq, before.at_us
    infer_run(ws, run)
    _begin(ws, run, before)
    return True
