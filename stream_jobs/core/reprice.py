"""Prices model calls of the past again, because a price was wrong or missing when they came.

Upstream: events ``reprice``, asked for by ``clawtrace prices reprice``.
Downstream: new revisions of calls, runs and traces; corrections of the spend.
Guarantee: only the cost of the named calls changes, and that of their run and trace by the same amount; asking twice
changes nothing. A call is left alone when the list here gives another price than the one that was expected, and when
its run is so old that part of it may be forgotten.
"""

from producers.contracts.event import Event
from producers.contracts.reprice import read_reprice
from stream_jobs.core.call_usage import price_again
from stream_jobs.core.silence import is_forgotten
from stream_jobs.core.workspace import Workspace


def on_reprice(ws: Workspace, event: Event) -> None:
    """Price the named calls of this agent again."""
    for asked in read_reprice(event.payload).spans:
        call = ws.find_call(asked.span_id)
        run = ws.find_run(call.run_id) if call is not None else None
        if call is None or run is None:
            ws.counts["reprice_unknown_calls"] += 1
        elif is_forgotten(ws, run):
            ws.counts["reprice_forgotten_calls"] += 1
        elif price_again(ws, run, call, asked.price_id):
            ws.counts["repriced_calls"] += 1
        elif call.price_id != asked.price_id:
            ws.counts["reprice_mismatches"] += 1
