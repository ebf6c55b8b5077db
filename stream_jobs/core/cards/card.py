"""Makes the TraceCard of a trace that has ended, and again whenever it changes after that.

Upstream: the trace's sums, ``log``, ``walk``, the counts of rule ``redundant_tool_calls``.
Downstream: ``clawtrace.cards.v1``.
Guarantee: time and memory have a bound however long the trace: its sums, dearest calls, failures and redundant calls
are exact, the rest is taken from the first ``walk.MAX_SPANS`` spans, and then ``is_partial`` says so.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from stream_jobs.contracts.card import (
    Card,
    CostSpan,
    PathStep,
    RedundantToolCalls,
    RereadItem,
    RoleHint,
    SubAgent,
)
from stream_jobs.core.cards.critical_path import critical_path
from stream_jobs.core.cards.log import (
    MAX_REPLIES,
    CardLog,
    card_log,
    is_failed_step,
    is_sub_agent,
    note_touched,
    result_log,
)
from stream_jobs.core.cards.overlap import overlap, reply_text
from stream_jobs.core.cards.reread import ResultBill, prompt_cost_of, reread_bills
from stream_jobs.core.cards.walk import Tree, subtree, walk
from stream_jobs.core.detect.redundant_tool_calls import RedundantCalls, memory_name_of
from stream_jobs.core.emit import make_trace
from stream_jobs.core.keys import tool_ref
from stream_jobs.core.roles import role_of
from stream_jobs.core.rollup import ERRORS, is_open
from stream_jobs.core.state import AttemptState, CallState, GuardState, Node, RunState, ToolState, TraceState
from stream_jobs.core.workspace import Workspace

MAX_TOP_SPANS = 6
MAX_PATH_STEPS = 6
MAX_BILLS = 6
MAX_SUB_AGENTS = 8
MAX_FAILED_STEPS = 8
MAX_REDUNDANT_TOOLS = 6
MAX_WHY_CHARS = 60
MAX_REPLY_CHARS = 400
# Shorter results are not worth a line; their cost is in the sum.
MIN_BILL_TOKENS = 100

_RANDOM = re.compile(
    r"[:_-]?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[:_-](?:\d{6,}|[0-9a-f]{12,})(?=$|[:_-])"
)


def make_cards(ws: Workspace, traces: Iterable[TraceState]) -> list[Card]:
    """Take what the batch has touched, and make the cards of those of its traces that have ended."""
    note_touched(ws)
    cards = (make_card(ws, trace) for trace in traces if not is_open(trace))
    return [card for card in cards if card is not None]


def make_card(ws: Workspace, trace: TraceState) -> Card | None:
    """Make the card of a trace; None while its root is not known."""
    root = ws.find_run(trace.top_runs[0].run_id) if trace.top_runs else None
    if root is None or not root.is_span:
        return None
    told = make_trace(ws, trace)
    log = card_log(ws, trace.trace_id)
    tree = walk(ws, root)
    bills, reread_usd, is_dropped = _bills(ws, tree)
    final = _final_reply(ws, log)
    return Card(
        tenant_id=ws.tenant_id,
        agent_id=ws.agent_id,
        trace_id=trace.trace_id,
        trace_date=trace.trace_date,
        task_id=task_id_of(root.session_key),
        models=told.models,
        total_cost_usd=told.cost_usd,
        input_tokens=told.input_tokens,
        cache_read_tokens=told.cache_read_tokens,
        cache_write_tokens=told.cache_write_tokens,
        output_tokens=told.output_tokens,
        num_model_calls=told.num_model_calls,
        num_tool_calls=told.num_tool_calls,
        top_cost_spans=_top_cost_spans(ws, log),
        redundant_tool_calls=_redundant(ws, trace.trace_id),
        sub_agents=_sub_agents(ws, log, tree, final),
        failed_or_repeated_steps=_failed_steps(ws, log),
        name=told.name,
        status=told.status,
        duration_ms=told.duration_ms or 0,
        num_failed_steps=trace.counts[ERRORS],
        critical_path=_critical_path(tree),
        reread_cost_usd=reread_usd,
        reread_bill=bills,
        tools_used=sorted(log.tools),
        reply=final[:MAX_REPLY_CHARS],
        started_at_us=told.started_at_us,
        is_partial=tree.is_partial or is_dropped,
        labels=told.labels,
        rev=ws.rev,
    )


def task_id_of(session_key: str) -> str:
    """Return a session key without its random part; the id of a cron job is not random."""
    if ":cron:" in session_key:
        return session_key.split(":run:", 1)[0]
    return _RANDOM.sub("", session_key) or session_key


def _top_cost_spans(ws: Workspace, log: CardLog) -> list[CostSpan]:
    spans = []
    for top in log.top_calls[:MAX_TOP_SPANS]:
        call = ws.find_node(top.ref)
        if isinstance(call, CallState):
            spans.append(
                CostSpan(span_id=call.span_id, name=call.model, role_hint=_role_hint(ws, call), cost_usd=top.cost_usd)
            )
    return spans


class _Part(msgspec.Struct):
    type: str = ""


_decode_parts = msgspec.json.Decoder(list[_Part]).decode


def _role_hint(ws: Workspace, call: CallState) -> RoleHint:
    try:
        kinds = {part.type for part in _decode_parts(ws.text(call.output_id) or "[]")}
    except (msgspec.DecodeError, RecursionError):
        return "other"
    if "toolCall" in kinds:
        return "plan_then_tool" if "text" in kinds else "tool_call"
    if "text" in kinds:
        return "final_reply"
    return "thinking_only" if kinds == {"thinking"} else "other"


def _redundant(ws: Workspace, trace_id: str) -> list[RedundantToolCalls]:
    tools = ws.memory(memory_name_of(trace_id), RedundantCalls).tools
    found = sorted(((name, it) for name, it in tools.items() if it.num_redundant >= 2), key=lambda it: it[0])
    found.sort(key=lambda it: -it[1].num_redundant)
    return [
        RedundantToolCalls(tool_name=name, count=it.num_redundant, span_ids=it.span_ids)
        for name, it in found[:MAX_REDUNDANT_TOOLS]
    ]


def _sub_agents(ws: Workspace, log: CardLog, tree: Tree, final: str) -> list[SubAgent]:
    found = []
    for step in log.sub_agents:
        run = ws.find_node(step.ref)
        if not isinstance(run, RunState) or not is_sub_agent(run):
            continue
        runs = [it for it in subtree(tree, run) if isinstance(it, RunState)]
        usd = sum((it.cost_usd for it in runs if it.num_priced), Decimal(0))
        found.append(
            SubAgent(
                span_id=run.span_id,
                name=run.label or "",
                status=run.status,
                cost_usd=usd if any(it.num_priced for it in runs) else None,
                output_used_in_final=_used_in(ws, [it for it in runs if it.session_key == run.session_key], final),
            )
        )
    found.sort(key=lambda it: -(it.cost_usd or Decimal(0)))
    return found[:MAX_SUB_AGENTS]


def _used_in(ws: Workspace, runs: list[RunState], final: str) -> float | None:
    """Return the overlap of what a sub-agent said with the final reply: the most of any run of its session."""
    found = (overlap(reply_text(ws.text(run.output_id)), final) for run in runs[-MAX_REPLIES:])
    return max((it for it in found if it is not None), default=None)


def _final_reply(ws: Workspace, log: CardLog) -> str:
    for step in reversed(log.replies):
        run = ws.find_node(step.ref)
        if isinstance(run, RunState) and (text := reply_text(ws.text(run.output_id))):
            return text
    return ""


def _failed_steps(ws: Workspace, log: CardLog) -> list[str]:
    steps = []
    for step in log.failed[:MAX_FAILED_STEPS]:
        node = ws.find_node(step.ref)
        if node is not None and is_failed_step(node):
            steps.append(f"{node.span_id} {_name_of(node)}: {_why(node)}")
    return steps


def _why(node: Node) -> str:
    error = node.error
    if isinstance(node, CallState):
        error = node.message_error or error
    if error:
        return " ".join(error.split())[:MAX_WHY_CHARS]
    if isinstance(node, ToolState) and node.exit_code:
        return f"exit code {node.exit_code}"
    return "repeated" if isinstance(node, AttemptState) else node.status


def _name_of(node: Node) -> str:
    if isinstance(node, CallState):
        return node.model or "model call"
    if isinstance(node, ToolState):
        return node.tool_name or "tool call"
    if isinstance(node, AttemptState):
        return f"attempt {node.number}"
    if isinstance(node, GuardState):
        return f"guard {node.action}"
    return (role_of(node) if isinstance(node, RunState) else "") or "run"


def _critical_path(tree: Tree) -> list[PathStep]:
    path = critical_path(tree)
    longest = {it.node.ref for it in sorted(path, key=lambda it: (-it.self_us, it.node.ref))[:MAX_PATH_STEPS]}
    return [
        PathStep(span_id=it.node.span_id, name=_name_of(it.node), self_ms=it.self_us // 1_000)
        for it in path
        if it.node.ref in longest
    ]


def _bills(ws: Workspace, tree: Tree) -> tuple[list[RereadItem], Decimal | None, bool]:
    """Return the dearest results, the sum over all, and whether some were not remembered."""
    calls: dict[str, list[CallState]] = {}
    for node in tree.nodes:
        if isinstance(node, CallState):
            calls.setdefault(node.run_id, []).append(node)
    bills: list[tuple[str, ResultBill]] = []
    is_dropped = False
    is_priced = False
    for run_id, of_run in calls.items():
        log = result_log(ws, run_id)
        is_dropped = is_dropped or log.num_dropped > 0
        costs = [cost for call in of_run if (cost := prompt_cost_of(ws, call)) is not None]
        is_priced = is_priced or bool(costs)
        bills += [(run_id, bill) for bill in reread_bills(log.results, costs)]
    bills.sort(key=lambda it: (-it[1].cost_usd, it[0], it[1].tool_call_id))
    items = []
    for run_id, bill in [it for it in bills if it[1].num_tokens >= MIN_BILL_TOKENS][:MAX_BILLS]:
        tool = ws.find_node(tool_ref(run_id, bill.tool_call_id))
        if isinstance(tool, ToolState) and bill.cost_usd:
            items.append(
                RereadItem(
                    span_id=tool.span_id,
                    tool_name=tool.tool_name,
                    num_tokens=bill.num_tokens,
                    num_calls=bill.num_calls,
                    cost_usd=bill.cost_usd,
                )
            )
    return items, sum((bill.cost_usd for _, bill in bills), Decimal(0)) if is_priced else None, is_dropped
