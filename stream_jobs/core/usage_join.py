"""Joins assistant messages, which carry the tokens, to the model calls they answer.

Upstream: ``model_call_ended`` (has ids, no tokens) and ``before_message_write`` (has tokens, only a session key).
Downstream: ``stream_jobs.core.model_calls``.
Guarantee: within a session, by sequence number, the first fitting message after a call and before the next call is
that call's; the host's own messages (a loop stop, an abort) have neither tokens nor a response id and fit only a
failed call. A pair is dropped from memory once nothing can come between it any more.
"""

from bisect import insort

from producers.contracts.event import Event
from stream_jobs.core.call_usage import count_usage, settle_remainder, usage_of
from stream_jobs.core.hook_payloads import MessageHook, cut_text, is_empty, read_message_hook, text_of
from stream_jobs.core.intervals import is_gapless
from stream_jobs.core.keys import join_ref
from stream_jobs.core.model_calls import settle_status
from stream_jobs.core.state import NO_SEQ, CallState, JoinItem, RunState, is_compaction
from stream_jobs.core.workspace import Workspace

MAX_ITEMS = 64


def on_message(ws: Workspace, event: Event) -> None:
    """before_message_write; only the assistant's messages matter."""
    hook = read_message_hook(event.payload)
    if hook.event.message.role != "assistant" or not event.session_key:
        ws.counts["ignored"] += 1
        return
    _add(ws, event, event.session_key, _item_of(ws, event, hook))


def on_call_end(ws: Workspace, event: Event, call: CallState) -> None:
    """A model call that a message may follow; compaction writes none."""
    if call.session_key and not is_compaction(call.run_id):
        item = JoinItem(event.seq, call_id=call.span_id, is_failed=call.is_failed)
        _add(ws, event, call.session_key, item)


def _item_of(ws: Workspace, event: Event, hook: MessageHook) -> JoinItem:
    message = hook.event.message
    usage, reported_usd = usage_of(message.usage)
    item = JoinItem(
        event.seq,
        usage=usage,
        reported_usd=reported_usd,
        error=text_of(message.error_message) if message.stop_reason in ("error", "aborted") else "",
        is_stop=message.stop_reason not in (None, "toolUse"),
        is_synthetic=not message.response_id and usage is not None and not usage.total_tokens,
        at_us=event.at_us,
    )
    item.is_halt = item.is_synthetic and message.stop_reason == "error"
    if item.error == "" and message.stop_reason in ("error", "aborted"):
        item.error = message.stop_reason
    if not is_empty(message.content):
        text, item.content_cut = cut_text(message.content)
        item.content_id = ws.put_text(event, "o", text)
    return item


def _add(ws: Workspace, event: Event, session_key: str, item: JoinItem) -> None:
    join = ws.join(session_key)
    items = join.items
    if not items or item.seq > items[-1].seq:
        items.append(item)
    else:
        insort(items, item, key=lambda it: it.seq)
    _rejoin(ws, event, items)
    join.items = _kept(ws, items)
    ws.change(join_ref(session_key, ws.spool_id))


def _rejoin(ws: Workspace, event: Event, items: list[JoinItem]) -> None:
    """Find each call's message anew, and apply what differs; first what is taken away, then what is given."""
    pairs: list[tuple[JoinItem, JoinItem | None]] = []
    call: JoinItem | None = None
    partner: JoinItem | None = None
    for item in items:
        if item.call_id:
            if call is not None and not call.is_settled:
                pairs.append((call, partner))
            call, partner = item, None
        elif call is not None and partner is None and (call.is_failed or not item.is_synthetic):
            partner = item
        elif call is not None and item.is_halt:
            _note_halt(ws, call, item)
    if call is not None and not call.is_settled:
        pairs.append((call, partner))
    changed = [pair for pair in pairs if pair[0].joined_seq != (pair[1].seq if pair[1] else NO_SEQ)]
    for call, _ in changed:
        if call.joined_seq != NO_SEQ:
            _apply(ws, event, call, None)
    for call, partner in changed:
        if partner is not None:
            _apply(ws, event, call, partner)


def _apply(ws: Workspace, event: Event, item: JoinItem, message: JoinItem | None) -> None:
    old_seq, item.joined_seq = item.joined_seq, message.seq if message is not None else NO_SEQ
    call = ws.find_call(item.call_id)
    run = ws.find_run(call.run_id) if call is not None else None
    if call is None or run is None:
        return
    if message is None:
        call.message_seq, call.message_error, call.output_id = NO_SEQ, "", ""
        if run.stop_seq == old_seq:
            run.stop_seq = NO_SEQ
        count_usage(ws, run, call, event, message=(None, None))
    else:
        call.message_seq, call.message_error = message.seq, message.error
        call.output_id, call.payload_cut = message.content_id, message.content_cut
        count_usage(ws, run, call, event, message=(message.usage, message.reported_usd))
        _note_stop(run, message)
    settle_status(call)
    settle_remainder(ws, run, event)


def _note_halt(ws: Workspace, item: JoinItem, message: JoinItem) -> None:
    """The host stopped the run after this call, and says why in a message of its own."""
    call = ws.find_call(item.call_id)
    run = ws.find_run(call.run_id) if call is not None else None
    if run is not None and message.seq > run.halt_seq:
        run.halt_seq, run.halt_error = message.seq, message.error
        ws.touch(run)


def _note_stop(run: RunState, message: JoinItem) -> None:
    if message.is_stop and message.seq > run.stop_seq:
        run.stop_seq, run.stopped_at_us = message.seq, message.at_us


def _kept(ws: Workspace, items: list[JoinItem]) -> list[JoinItem]:
    """Drop what can no longer change, given which events of the spool have arrived."""
    ranges = ws.spool().ranges
    kept: list[JoinItem] = []
    last_call: JoinItem | None = None
    for item in items:
        if item.call_id:
            if last_call is not None and is_gapless(ranges, last_call.seq, item.seq):
                del kept[kept.index(last_call) :]
            last_call = item
            if item.joined_seq != NO_SEQ and is_gapless(ranges, item.seq, item.joined_seq):
                item.is_settled = True
            kept.append(item)
        elif last_call is None or not (last_call.is_settled and is_gapless(ranges, last_call.seq, item.seq)):
            kept.append(item)
    return kept[-MAX_ITEMS:]
