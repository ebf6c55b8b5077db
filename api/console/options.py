"""Options that every command over the HTTP API has.

Upstream: typer.
Downstream: api/people.py and the commands of this folder.
Guarantee: imports nothing but typer: a process of the stack whose command stands beside one of these stays small.
"""

from typing import Annotated

import typer

KeyOption = Annotated[str, typer.Option(envvar="CLAWTRACE_READ_KEY", help="A read key; default: the demo's.")]
UrlOption = Annotated[str, typer.Option(envvar="CLAWTRACE_API_URL", help="The API; default: the local one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's document.")]
