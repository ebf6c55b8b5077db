"""`clawtrace skill`: what runs have taught, as the skill of an agent, and what versions of it cost.

Upstream: a person at a terminal, or a script with --json.
Downstream: the commands of this group, each in a module of its own.
Guarantee: none; it only joins them.
"""

import typer

from api.console.distill import distill
from api.console.skill_compare import compare

skill_app = typer.Typer(
    no_args_is_help=True, help="Make an agent's skill cheaper by what its runs have shown; compare versions."
)
skill_app.command("distill")(distill)
skill_app.command("compare")(compare)
