"""Silence: runs of which nothing is heard any more are closed, and opened again when something is.

Upstream: batches say which runs they told something of; ticks bring the time.
Downstream: runs, model calls and tool calls with status incomplete.
Guarantee: a run is closed only when it and all that runs under it were silent for the time set, by the server's
clock; a running tool, which tells nothing of itself, has the time of rule ``stuck_run`` before that. What is closed so
is opened by the next event, as if no tick had come. What is watched is kept in pages, so no value grows with the number
of open runs.
"""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.stuck_run import StuckRun, StuckRunSettings
from stream_jobs.core.facts import Fact
from stream_jobs.core.keys import agent_ref, watch_ref
from stream_jobs.core.state import (
    KEPT_DAYS,
    NO_SEQ,
    REFUSED_AFTER_US,
    AttemptState,
    CallState,
    Node,
    RunState,
    ToolState,
)
from stream_jobs.core.workspace import Workspace

PAGE_RUNS = 32
US_PER_MINUTE = 60_000_000
_US_PER_HOUR = 60 * US_PER_MINUTE
_DAY_US = 24 * _US_PER_HOUR
# An agent is still visited by ticks this long after its last event.
_ACTIVE_HOURS = 24

NEVER_SHOWED = "asked for, and never showed a sign of life"


class ClosingSettings(RuleSettings):
    """When a run counts as gone."""

    idle_minutes: Annotated[int, Field(ge=1, le=100_000, description="Minutes of silence.")] = 30


def idle_us(ws: Workspace) -> int:
    """Return how long a run of this agent may be silent, in microseconds; 0 when runs are never closed."""
    settings = ws.settings("closing", ClosingSettings)
    return settings.idle_minutes * US_PER_MINUTE if settings.enabled else 0


def tool_us(ws: Workspace) -> int:
    """Return how long a tool of this agent may run, in microseconds: as long as nobody is told that it is stuck."""
    return ws.settings(StuckRun.name, StuckRunSettings).tool_minutes * US_PER_MINUTE


def hear(ws: Workspace, run: RunState, seq: int, at_us: int) -> None:
    """An event tells something of a run."""
    run.newest_seq = max(run.newest_seq, seq)
    run.last_at_us = max(run.last_at_us, at_us)
    ws.heard[run.run_id] = run
    if run.is_silent:
        reopen(ws, run)


def is_forgotten(ws: Workspace, run: RunState) -> bool:
    """Whether the first values of a run may be gone: changed now, its sums would be those of what is left."""
    return bool(run.last_received_us) and ws.received_at_us - run.last_received_us > REFUSED_AFTER_US


def refuse_forgotten(ws: Workspace, run_id: str) -> None:
    """Let an event change no run of which a part may be gone.

    Raises:
        ValueError: with how long nothing was heard of the run.
    """
    run = ws.find_run(run_id)
    if run is not None and is_forgotten(ws, run):
        num_days = (ws.received_at_us - run.last_received_us) // _DAY_US
        raise ValueError(
            f"nothing was heard of run {run_id} for {num_days} days, and what is known of a run is forgotten after "
            f"{KEPT_DAYS}; the event lies in the table of events only"
        )


def spread_activity(ws: Workspace) -> None:
    """Let all runs above those that were heard of know: a run is not silent while its sub-agents work."""
    # Above a run that another one has led to already, all know.
    seen: set[str] = set()
    for run in list(ws.heard.values()):
        node: Node | None = run
        while node is not None and node.ref not in seen:
            seen.add(node.ref)
            if isinstance(node, RunState) and node.last_received_us < ws.received_at_us:
                node.last_received_us = ws.received_at_us
                ws.change(node.ref)
                if node.is_silent:
                    reopen(ws, node)
            node = ws.find_node(node.parent_ref) if node.parent_ref else None


def count_open(ws: Workspace) -> None:
    """Keep for each run how many of its calls have not ended, and how many of these are tools."""
    for node in ws.touched.values():
        if isinstance(node, CallState | ToolState):
            difference = node.is_open - ws.was_open.get(node.ref, False)
            run = ws.find_run(node.run_id) if difference else None
            if run is not None:
                run.num_open += difference
                if isinstance(node, ToolState):
                    # A tool that was running when this was not yet counted ends without having been counted.
                    run.num_open_tools = max(0, run.num_open_tools + difference)
                ws.change(run.ref)
                ws.heard.setdefault(run.run_id, run)


def watch_runs(ws: Workspace) -> None:
    """Watch the runs of this batch that go on, and no longer those that do not."""
    runs = {run.run_id: run for run in ws.touched.values() if isinstance(run, RunState)} | ws.heard
    for run in runs.values():
        is_wanted = _is_wanted(run)
        if is_wanted and run.watch_slot < 0:
            _watch(ws, run)
        elif not is_wanted and run.watch_slot >= 0:
            _unwatch(ws, run)
    agent = ws.agent()
    if agent.num_watched and not agent.next_due_us and (limit_us := idle_us(ws)):
        agent.next_due_us = ws.received_at_us + limit_us
        ws.change(agent_ref())


def note_activity(ws: Workspace) -> None:
    """Say until when ticks visit the agent; in whole hours, so that this is seldom written."""
    until_us = (ws.received_at_us // _US_PER_HOUR + _ACTIVE_HOURS + 1) * _US_PER_HOUR
    agent = ws.agent()
    if until_us > agent.active_until_us:
        agent.active_until_us = until_us
        ws.change(agent_ref())


def close_silent(ws: Workspace, at_us: int) -> None:
    """Close the runs that were silent for too long; reckon when the next can be."""
    agent = ws.agent()
    if not agent.next_due_us or at_us < agent.next_due_us:
        return
    limit_us = idle_us(ws)
    agent.next_due_us = _close_due(ws, limit_us, at_us) if limit_us else 0
    ws.change(agent_ref())


def _close_due(ws: Workspace, limit_us: int, at_us: int) -> int:
    """Close what was silent for too long; return when the next can be (0: nothing else is watched)."""
    next_due_us = 0
    silent: list[RunState] = []
    kept: set[str] = set()
    for run in watched_runs(ws):
        is_at_a_tool = run.is_open and run.num_open_tools > 0
        due_us = run.last_received_us + limit_us + (tool_us(ws) if is_at_a_tool else 0)
        if due_us <= at_us:
            silent.append(run)
            continue
        kept.update(_refs_above(ws, run))
        next_due_us = min(next_due_us or due_us, due_us)
    for run in silent:
        # One that waits for a sub-agent's tool is due again with the sub-agent.
        if run.ref not in kept:
            _fall_silent(ws, run, at_us)
    return next_due_us


def _refs_above(ws: Workspace, run: RunState) -> set[str]:
    """Return the keys of all that a run hangs under."""
    above: set[str] = set()
    node: Node | None = run
    while node is not None and node.parent_ref and node.parent_ref not in above:
        above.add(node.parent_ref)
        node = ws.find_node(node.parent_ref)
    return above


def watched_runs(ws: Workspace) -> Iterator[RunState]:
    """Yield the runs that go on, as far as is known, or have calls that do."""
    for page in range(-(-ws.agent().num_watched // PAGE_RUNS)):
        for run_id in ws.watch_page(page).run_ids:
            run = ws.find_run(run_id)
            if run is not None:
                yield run


def infer_run(ws: Workspace, run: RunState) -> None:
    """Show a run that no hook of its own has told of."""
    run.seen = run.is_inferred = True
    run.first_seq, run.started_at_us = run.spawn_seq, run.spawned_at_us
    if not run.openclaw_agent_id and run.session_key.startswith("agent:"):
        run.openclaw_agent_id = run.session_key.split(":")[1]
    ws.touch(run)
    ws.to_relink[run.run_id] = None


def reopen(ws: Workspace, run: RunState) -> None:
    """Take back what silence has led to."""
    run.is_silent = False
    ws.touch(run)
    ws.heard[run.run_id] = run
    for node in _calls_under(ws, run):
        if node.status == "incomplete":
            node.status, node.ended_at_us = "running", 0
            ws.touch(node)


def _fall_silent(ws: Workspace, run: RunState, at_us: int) -> None:
    run.is_silent = True
    ws.touch(run)
    if not run.seen:
        infer_run(ws, run)
    if run.spawn_seq != NO_SEQ and run.is_open:
        ws.facts.append(Fact("subagent_died", run.ref, at_us))
    for node in _calls_under(ws, run):
        if node.is_open:
            node.status, node.ended_at_us = "incomplete", max(node.started_at_us, run.last_at_us)
            ws.touch(node)


def _calls_under(ws: Workspace, run: RunState) -> Iterator[CallState | ToolState]:
    """Yield all calls of a run: under its attempts and inside other tools too."""
    waiting: list[Node] = [run]
    while waiting:
        for child in ws.children(waiting.pop()):
            if isinstance(child, CallState | ToolState):
                yield child
            if isinstance(child, ToolState | AttemptState):
                waiting.append(child)


def _is_wanted(run: RunState) -> bool:
    if run.is_silent:
        return False
    is_awaited = not run.seen and run.spawn_seq != NO_SEQ and run.told_end_seq == NO_SEQ
    return is_awaited or (run.is_span and run.status == "running") or run.num_open > 0


def _watch(ws: Workspace, run: RunState) -> None:
    agent = ws.agent()
    run.watch_slot = agent.num_watched
    agent.num_watched += 1
    ws.watch_page(run.watch_slot // PAGE_RUNS).run_ids.append(run.run_id)
    ws.change(watch_ref(run.watch_slot // PAGE_RUNS))
    ws.change(run.ref)
    ws.change(agent_ref())


def _unwatch(ws: Workspace, run: RunState) -> None:
    """Take a run out; the last one gets its place, so that the pages stay full."""
    agent = ws.agent()
    agent.num_watched -= 1
    last_page = agent.num_watched // PAGE_RUNS
    run_ids = ws.watch_page(last_page).run_ids
    last_id = run_ids.pop()
    if last_id != run.run_id:
        last = ws.run(last_id)
        last.watch_slot = run.watch_slot
        page = run.watch_slot // PAGE_RUNS
        ws.watch_page(page).run_ids[run.watch_slot % PAGE_RUNS] = last_id
        ws.change(watch_ref(page))
        ws.change(last.ref)
    run.watch_slot = -1
    if run_ids:
        ws.change(watch_ref(last_page))
    else:
        ws.drop(watch_ref(last_page))
    ws.change(run.ref)
    ws.change(agent_ref())
