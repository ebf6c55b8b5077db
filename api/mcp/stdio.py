"""``clawtrace mcp``: the same tools over standard input and output, for clients that start a program.

Upstream: an MCP client on this machine.
Downstream: /mcp of the API, wherever it runs, with the key of the environment.
Guarantee: holds no rights of its own: what the key may not read, the API refuses.
"""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.runtime.settings import StackSettings

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

mcp_app = typer.Typer(help="Serve the tools of Tracy to an MCP client over standard input and output.")


@mcp_app.command("mcp")
def mcp(
    url: Annotated[str, typer.Option(help="Address of the API; the local one when it is not given.")] = "",
    key: Annotated[str, typer.Option(help="A read key.", envvar="CLAWTRACE_READ_KEY")] = "",
) -> None:
    """Serve the tools of Tracy to an MCP client over standard input and output."""
    if not key:
        typer.echo("Set CLAWTRACE_READ_KEY to a read key; clawtrace keys create --scope read makes one.", err=True)
        raise typer.Exit(2)
    try:
        asyncio.run(serve_stdio(url or StackSettings().api_url, key))
    except* (OSError, ConnectionError) as errors:
        typer.echo(f"The API cannot be reached: {errors.exceptions[0]}", err=True)
        raise typer.Exit(1) from None
    # Reading standard input is left to a thread that cannot be ended.
    sys.stdout.flush()
    os._exit(0)


async def serve_stdio(url: str, key: str) -> None:
    """Pass requests on to the API until standard input ends."""
    import httpx2
    from mcp.client import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    from api.tracy.prompt import MCP_INSTRUCTIONS

    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False) as http,
        Client(streamable_http_client(f"{url.rstrip('/')}/mcp", http_client=http)) as api,
    ):

        async def list_tools(
            context: "ServerRequestContext[Any, Any]", parameters: "PaginatedRequestParams | None"
        ) -> "ListToolsResult":
            return await api.list_tools()

        async def call_tool(
            context: "ServerRequestContext[Any, Any]", parameters: "CallToolRequestParams"
        ) -> "CallToolResult":
            return await api.call_tool(parameters.name, parameters.arguments or {})

        server: Server[Any] = Server(
            "clawtrace",
            version="1",
            instructions=MCP_INSTRUCTIONS,
            on_list_tools=list_tools,
            on_call_tool=call_tool,
        )
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
