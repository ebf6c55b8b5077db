"""``clawtrace import openclaw``: send what transcripts tell and was never captured.

Upstream: the person at the keyboard; OpenClaw's transcripts; the tables, through the API.
Downstream: the gateway, like every event.
Guarantee: nothing that is in the tables is sent again, and nothing is sent before all of it is known; exit code 0 only
when everything that was missing has been taken.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import typer
from rich.console import Console

from producers.contracts.usage import TokenUsage
from producers.replay.capture import Capture
from producers.replay.known_runs import KnownRunsAway, find_known_runs
from producers.replay.sender import ReplayFailed, send_capture
from producers.replay.transcript_events import IMPORT_SOURCE, KnownRun, RunPlan, plan_runs
from producers.replay.transcript_runs import TranscriptRun, runs_of
from producers.replay.transcripts import TranscriptsUnreadable, read_sessions

TIMEOUT_S: Final = 60

Lookup = Callable[[Sequence[TranscriptRun]], dict[str, KnownRun]]


def import_openclaw(
    path: Path,
    *,
    endpoint: str,
    key: str,
    api: str,
    read_key: str,
    settled_minutes: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Import every session under a path and print what came of it.

    Raises:
        typer.Exit: with 1, when something cannot be read, asked or sent.
    """
    errors = Console(stderr=True)
    try:
        with httpx2.Client(base_url=api, timeout=TIMEOUT_S) as reader:
            plans, report = plan_import(
                path,
                lambda runs: find_known_runs(reader, read_key, runs),
                settled_before_ms=int((time.time() - settled_minutes * 60) * 1_000),
            )
        if not dry_run:
            report |= send_plans(plans, endpoint, key)
    except (TranscriptsUnreadable, KnownRunsAway, ReplayFailed, OSError) as error:
        errors.print(f"import: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    report["dry_run"] = dry_run
    typer.echo(json.dumps(report) if as_json else _in_words(report))
    if report.get("rejected"):
        raise typer.Exit(1)


def plan_import(path: Path, lookup: Lookup, *, settled_before_ms: int) -> tuple[list[RunPlan], dict[str, Any]]:
    """Read, ask, and work out what is missing; return the plans that have something to send, and the figures.

    Raises:
        TranscriptsUnreadable: there is nothing to read.
        KnownRunsAway: the lookup failed.
    """
    sessions = read_sessions(path)
    found = runs_of(sessions)
    # A run that just ended may still be on its way from the plugin's spool to the tables.
    settled = {run_id: run for run_id, run in found.items() if run.ended_ms < settled_before_ms}
    # All runs, the youngest too: their trace may be the one of a run that is missing.
    known = lookup(list(found.values())) if found else {}
    plans = [plan for plan in plan_runs(found, known) if plan.run.run_id in settled]
    wanted = [plan for plan in plans if plan.events]
    usage = sum((plan.usage for plan in wanted), TokenUsage())
    return wanted, {
        "sessions": len(sessions),
        "unreadable_entries": sum(session.num_unreadable for session in sessions),
        "runs": len(found),
        "runs_too_young": len(found) - len(settled),
        "runs_known": sum(not plan.is_new for plan in plans),
        "runs_complete": len(plans) - len(wanted),
        "add_runs": sum(plan.is_new for plan in wanted),
        "add_model_calls": sum(plan.num_calls for plan in wanted),
        "fill_model_calls": sum(plan.num_filled_calls for plan in wanted),
        "add_tool_calls": sum(plan.num_tools for plan in wanted),
        "add_input_tokens": usage.input_tokens,
        "add_cache_read_tokens": usage.cache_read_tokens,
        "add_cache_write_tokens": usage.cache_write_tokens,
        "add_output_tokens": usage.output_tokens,
        "events": sum(len(plan.events) for plan in wanted),
    }


def capture_of(plan: RunPlan) -> Capture:
    """What is sent for one run, as the sender takes it."""
    return Capture(Path(plan.run.session.session_id), plan.spool_id, plan.events, 0, IMPORT_SOURCE)


def send_plans(plans: Sequence[RunPlan], endpoint: str, key: str) -> dict[str, Any]:
    """Send the plans, one spool each, oldest run first.

    Raises:
        ReplayFailed: the gateway refused, or stayed away; what was sent before may be sent again.
    """
    num_accepted = 0
    rejected: list[str] = []
    with httpx2.Client(base_url=endpoint, timeout=TIMEOUT_S) as client:
        for plan in sorted(plans, key=lambda it: (it.run.started_ms, it.run.run_id)):
            report = send_capture(capture_of(plan), client, key=key)
            num_accepted += report.num_accepted
            rejected += [f"run {plan.run.run_id}: {item.error}" for item in report.rejected]
    return {"accepted": num_accepted, "rejected": rejected}


def _in_words(report: dict[str, Any]) -> str:
    lines = [
        f"{report['sessions']} sessions with {report['runs']} runs; of these {report['runs_complete']} are complete in "
        f"the tables and {report['runs_too_young']} are too young to be judged",
        f"{'would add' if report['dry_run'] else 'added'} {report['add_runs']} runs, {report['add_model_calls']} model "
        f"calls, {report['add_tool_calls']} tool calls, and what {report['fill_model_calls']} known calls lacked",
        f"tokens: {report['add_input_tokens']} input, {report['add_cache_read_tokens']} cache read, "
        f"{report['add_cache_write_tokens']} cache write, {report['add_output_tokens']} output",
    ]
    if report["unreadable_entries"]:
        lines.append(f"{report['unreadable_entries']} entries could not be read and were left out")
    lines += [f"rejected: {reason}" for reason in report.get("rejected", [])]
    return "\n".join(lines)
