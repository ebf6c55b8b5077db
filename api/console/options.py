"""Options and arguments of the commands over the HTTP API.

Upstream: typer.
Downstream: api/people.py and the commands of this folder.
Guarantee: imports nothing but typer: a process of the stack whose command stands beside one of these stays small.
"""

from typing import Annotated

import typer

KeyOption = Annotated[str, typer.Option(envvar="CLAWTRACE_READ_KEY", help="A read key; default: the demo's.")]
UrlOption = Annotated[str, typer.Option(envvar="CLAWTRACE_API_URL", help="The API; default: the local one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's document.")]
OnlyAgentOption = Annotated[str | None, typer.Option(help="Only of this OpenClaw install.")]
TraceArgument = Annotated[str, typer.Argument(help="The trace.")]
TraceAgentOption = Annotated[
    str | None, typer.Option(help="Its OpenClaw install; needed only when two have a trace of this id.")
]
