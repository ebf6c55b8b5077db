"""`clawtrace skill`: what skills of agents cost and save.

Upstream: a person at a terminal, or a script with --json.
Downstream: the modules of its commands.
Guarantee: imports nothing heavy before a command runs.
"""

import typer

from api.console.skill_compare import compare

skill_app = typer.Typer(no_args_is_help=True, help="Compare versions of skills, configurations and models.")
skill_app.command("compare")(compare)


@skill_app.callback()
def _group() -> None:
    """Keep each command one of its own even while it is the only one."""
