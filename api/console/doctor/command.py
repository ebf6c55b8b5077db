"""`clawtrace doctor`: what is wrong, and the fix.

Upstream: a person at a terminal, or a script with --json.
Downstream: gather.py and checks.py of this folder.
Guarantee: exit code 0 when nothing is wrong (notes and what could not be looked at are no fault), 1 when something is.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Final

import typer

from api.client import EXIT_AWAY
from api.console.doctor.checks import Finding, Level, examine
from api.console.doctor.facts import StackFacts
from api.console.doctor.gather import gather_facts
from api.console.options import KeyOption, UrlOption
from api.console.printing import console, one_line, print_json

_SIGNS: Final[dict[Level, tuple[str, str]]] = {
    "fine": ("✓", "green"),
    "wrong": ("✗", "red"),
    "note": ("!", "yellow"),
    "skipped": ("–", "dim"),
}


def make_doctor_app(look_at_stack: Callable[[], StackFacts]) -> typer.Typer:
    """Make the command; only `clawtrace` itself may know the local stack."""
    doctor_app = typer.Typer(help="Find the usual troubles, and say the fix.")

    @doctor_app.command("doctor")
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
        key: KeyOption = "",
        url: UrlOption = "",
    ) -> None:
        """Look for the usual troubles and say the fix: exit code 1 when something is wrong.

        Looks at the stack of this machine and at what the API tells the key's tenant: silent agents, missing hooks,
        clocks, plugins, dead letters, lag, disk, prices, Tracy.
        """
        findings = examine(gather_facts(url, key, look_at_stack))
        num_wrong = sum(finding.level == "wrong" for finding in findings)
        if as_json:
            print_json({"is_well": not num_wrong, "findings": [asdict(finding) for finding in findings]})
        else:
            _print(findings, num_wrong)
        if num_wrong:
            raise typer.Exit(EXIT_AWAY)

    return doctor_app


def _print(findings: list[Finding], num_wrong: int) -> None:
    from rich.text import Text

    screen = console()
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        said = one_line(finding.message)
        line = Text.assemble(
            (sign, style), f" {finding.check:12}  ", (said, "dim" if finding.level == "skipped" else "")
        )
        screen.print(line, soft_wrap=True)
        if finding.fix:
            screen.print(Text(f"{'':14}  → {one_line(finding.fix)}", "cyan"), soft_wrap=True)
    screen.print(f"{num_wrong} wrong" if num_wrong else "nothing is wrong")
