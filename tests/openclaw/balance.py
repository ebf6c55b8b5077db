"""Holds the spans in Trino against the provider's ledger: the same calls, tokens and tools, nothing twice.

Upstream: ``provider``'s ledger; the spans as the tenant's SQL sees them.
Downstream: the tests.
Guarantee: a span counts for a request only when their fresh input tokens are the same number, which no two requests
share.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tests.integration.doors import Doors, wait_until
from tests.openclaw.provider import Buckets, Entry

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
COLUMNS = (
    "trace_id, span_id, parent_span_id, kind, name, status, error, run_id, session_key, tool_name, tool_call_id, "
    f"usage_source, cost_usd, reported_cost_usd, exit_code, {', '.join(TOKENS)}"
)
PAGE = 5000
Row = dict[str, Any]


def spans_of(doors: Doors, read_key: str, agent_id: str) -> list[Row]:
    """All spans of an agent, as its tenant sees them."""
    rows: list[Row] = []
    while True:
        page = doors.sql(
            read_key,
            f"SELECT {COLUMNS} FROM spans WHERE agent_id = '{agent_id}' "
            f"ORDER BY started_at, span_id OFFSET {len(rows)} LIMIT {PAGE}",
        )
        rows += page
        if len(page) < PAGE:
            return rows


def differences(entries: Iterable[Entry], spans: Iterable[Row], was_killed: bool = False) -> list[str]:
    """Everything in which the spans differ from the ledger, in words; empty when they agree.

    ``was_killed``: OpenClaw died in the middle, so some spans have no end.
    """
    found: list[str] = []
    entries, spans = list(entries), list(spans)
    found += [f"span {span_id} is there {count} times" for span_id, count in _repeated(s["span_id"] for s in spans)]
    found += _call_differences(entries, spans)
    if not was_killed:
        found += [f"{span['kind']} {span['name']} still runs" for span in spans if span["status"] == "running"]
    found += _tool_differences(entries, [span for span in spans if span["kind"] == "tool_call"], was_killed)
    found += [
        f"{span['kind']} {span['span_id']} holds tokens that are a model call's"
        for span in spans
        if span["kind"] != "model_call" and any(span[name] is not None for name in TOKENS)
    ]
    return found[:20]


def _call_differences(entries: list[Entry], spans: list[Row]) -> list[str]:
    found = []
    calls = [span for span in spans if span["kind"] == "model_call"]
    paid = {entry.buckets.input_tokens: entry for entry in entries if entry.is_paid}
    seen: Counter[int] = Counter()
    for call in calls:
        if not call["input_tokens"]:
            continue
        entry = paid.get(call["input_tokens"])
        if entry is None:
            found.append(f"model call {call['span_id']} has {call['input_tokens']} fresh tokens: nobody asked that")
            continue
        seen[entry.buckets.input_tokens] += 1
        buckets = Buckets(*(call[name] or 0 for name in TOKENS))
        if buckets != entry.buckets:
            found.append(f"request {entry.number} ({entry.scenario}): {buckets} instead of {entry.buckets}")
    cut_off = _cut_off(calls, spans)
    unread = [entry for tokens, entry in paid.items() if seen[tokens] == 0]
    for tokens, entry in paid.items():
        if seen[tokens] != 1 and (seen[tokens] or len(unread) > len(cut_off)):
            found.append(f"request {entry.number} ({entry.scenario} {entry.step}) is in {seen[tokens]} spans")
    # A call that was cut off has perhaps not reached the provider.
    if not len(entries) <= len(calls) <= len(entries) - len(unread) + len(cut_off):
        found.append(f"{len(calls)} model calls for {len(entries)} requests: {_outcomes(entries)} / {_statuses(calls)}")
    return found


def _cut_off(calls: list[Row], spans: list[Row]) -> list[Row]:
    """The calls under way when their run was stopped, one a run at most: nobody read the answer or its tokens."""
    stopped = {span["run_id"] for span in spans if span["kind"] == "run" and span["status"] in ("error", "blocked")}
    cut_off = {
        call["run_id"]: call
        for call in calls
        if call["run_id"] in stopped and call["status"] == "error" and not call["input_tokens"]
    }
    return list(cut_off.values())


def _tool_differences(entries: list[Entry], tools: list[Row], was_killed: bool) -> list[str]:
    asked = {call_id: name for entry in entries if entry.is_paid for call_id, name in entry.tool_calls.items()}
    # A tool inside a tool (tool search) has an id of OpenClaw's own that holds the outer one.
    outer = [span for span in tools if span["tool_call_id"] in asked]
    found = [f"tool call {call_id} has {count} spans" for call_id, count in _repeated(s["tool_call_id"] for s in outer)]
    # A run that was stopped may never start the tools it asked for; a tool whose result the model got did run.
    answered = {call_id for entry in entries for call_id in entry.tool_results} & asked.keys()
    missing = answered - {span["tool_call_id"] for span in outer}
    found += [f"tool call {call_id} ({asked[call_id]}) has no span" for call_id in sorted(missing)]
    # OpenClaw tells the model that a killed tool was interrupted, and no hook.
    running = {span["tool_call_id"] for span in outer if span["status"] == "running" and not was_killed}
    found += [f"tool call {call_id} still runs, but the model has its result" for call_id in sorted(answered & running)]
    for span in tools:
        name = asked.get(span["tool_call_id"])
        if name is None and not any(f":{call_id}:" in span["tool_call_id"] for call_id in asked):
            found.append(f"tool call {span['tool_call_id']} ({span['tool_name']}): nobody asked for it")
        elif name is not None and name != span["tool_name"]:
            found.append(f"tool call {span['tool_call_id']} is {span['tool_name']}, asked was {name}")
    return found


def _repeated(values: Iterable[str]) -> list[tuple[str, int]]:
    return [(value, count) for value, count in Counter(values).items() if count > 1]


def _outcomes(entries: list[Entry]) -> dict[str, int]:
    return dict(Counter(entry.outcome for entry in entries))


def _statuses(calls: list[Row]) -> dict[str, int]:
    return dict(Counter(call["status"] for call in calls))


def wait_until_quiet(entries: Callable[[], list[Entry]], within_s: float = 60.0, quiet_s: float = 2.0) -> None:
    """Wait until the provider was asked nothing for a while and owes no answer: late runs are over too."""

    def seen() -> tuple[int, float, bool]:
        found = entries()
        last = max((entry.at_s for entry in found), default=0.0)
        return len(found), time.time() - last, any(entry.outcome == "open" for entry in found)

    wait_until(seen, lambda found: found[0] > 0 and found[1] > quiet_s and not found[2], "provider quiet", within_s)
