"""The commands of the stream jobs.

Upstream: people and the supervisor, through ``clawtrace``.
Downstream: ``stream_jobs.processors``.
Guarantee: nothing heavy is imported before a command runs.
"""

import typer

from infra.runtime.logging import configure_logging
from stream_jobs.settings import StitcherSettings

stitcher_app = typer.Typer(no_args_is_help=True, help="Turn events into spans, traces and alerts.")


@stitcher_app.callback()
def _group() -> None:
    """Keep ``run`` a command of its own even while it is the only one."""


@stitcher_app.command()
def run() -> None:
    """Run the stitcher until it is told to stop."""
    configure_logging("stitcher")
    from stream_jobs.processors.compose import run as run_process

    raise typer.Exit(run_process(StitcherSettings()))
