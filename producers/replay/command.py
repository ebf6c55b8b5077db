"""``clawtrace replay``: send capture files, with a progress bar.

Upstream: the person at the keyboard.
Downstream: ``producers.replay.sender``.
Guarantee: exit code 0 only when every event of every file was acknowledged and accepted; 1 otherwise, with the reason.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import httpx2
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from producers.replay.capture import UnreadableCapture, agent_events_beside, read_capture
from producers.replay.sender import Pacing, ReplayFailed, ReplayReport, send_capture


def instant_us(text: str, *, now: bool) -> int | None:
    """Microseconds of the instant that the last event is to have; None when the events keep their times.

    Raises:
        typer.Exit: with 2, when it is no instant, or two are given.
    """
    if now and text:
        _refuse("--until: --now says another instant already; give one of them")
    if now:
        return time.time_ns() // 1000
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        _refuse(f"--until: {text!r} is no instant; write it like 2026-11-24T08:00:00Z")
    at_ms = (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp() * 1000
    return round(at_ms) * 1000


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


def replay_files(
    files: Sequence[Path],
    *,
    endpoint: str,
    key: str,
    speed: float,
    until_us: int | None,
    agent_events: bool,
    as_json: bool,
) -> None:
    """Send the files one after the other and print what came of each.

    Raises:
        typer.Exit: with 1, when a file cannot be read or sent, or when events were rejected.
    """
    errors = Console(stderr=True)
    try:
        reports = _send_all(files, endpoint, key, Pacing(speed=speed), until_us=until_us, agent_events=agent_events)
    except (ReplayFailed, UnreadableCapture, OSError) as error:
        errors.print(f"replay: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([_as_json(report) for report in reports]))
    else:
        for report in reports:
            typer.echo(
                f"{report.path.name}: {report.num_accepted} of {report.num_events} events accepted "
                f"in {report.num_batches} batches, {report.elapsed_s:.1f} s"
            )
    for report in reports:
        for item in report.rejected:
            errors.print(
                f"{report.path.name} event {item.index}: {item.error}", style="red", highlight=False, markup=False
            )
    if any(report.rejected for report in reports):
        raise typer.Exit(1)


def _send_all(
    files: Sequence[Path], endpoint: str, key: str, pacing: Pacing, *, until_us: int | None, agent_events: bool
) -> list[ReplayReport]:
    captures = [read_capture(path, agent_events_beside(path) if agent_events else None) for path in files]
    if until_us is not None:
        latest_us = max((event.at_us for capture in captures for event in capture.events), default=0)
        shift_us = until_us - latest_us
        captures = [
            read_capture(capture.path, agent_events_beside(capture.path) if agent_events else None, shift_us=shift_us)
            for capture in captures
        ]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    reports = []
    with (
        # trust_env off: a proxy for the world outside must not get what is sent to loopback.
        httpx2.Client(base_url=endpoint, timeout=30.0, trust_env=False) as client,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        for capture in captures:
            task = progress.add_task(capture.path.stem, total=len(capture.events))
            reports.append(
                send_capture(
                    capture,
                    client,
                    key=key,
                    pacing=pacing,
                    on_batch=partial(progress.advance, task),
                )
            )
    return reports


def _as_json(report: ReplayReport) -> dict[str, object]:
    return {
        **asdict(report),
        "path": str(report.path),
        "rejected": [{"index": item.index, "error": item.error} for item in report.rejected],
    }
