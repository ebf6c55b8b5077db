"""The tools as an MCP server over streamable HTTP.

Upstream: MCP clients with a read key as bearer token, at /mcp.
Downstream: api/tracy/tools.py.
Guarantee: the tenant comes from the token of each single request; nothing is kept between requests, so that no
session can be taken over. Host and origin are checked against DNS rebinding.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.types import Receive, Scope, Send

from api.repositories.scope import Scope as TenantScope
from api.tracy.prompt import MCP_INSTRUCTIONS
from api.tracy.tools import TOOLS
from infra.runtime.key_store import KeyStore
from infra.runtime.problem import Problem

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams, Tool

    from api.tracy.service import Tracy

_log = structlog.get_logger(__name__)

PATH: Final = "/mcp"
# Where in the ASGI scope the door leaves whose token it was.
_TENANT: Final = "clawtrace.tenant"
_LOCAL_HOSTS: Final = ("127.0.0.1:*", "localhost:*", "[::1]:*")


def mcp_tools() -> "list[Tool]":
    """Return the tools as MCP describes them: all of them only read."""
    from mcp_types import Tool, ToolAnnotations

    only_reads = ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    return [
        Tool(name=tool.name, description=tool.description, input_schema=tool.input_schema, annotations=only_reads)
        for tool in TOOLS
    ]


class McpDoor:
    """The ASGI app behind /mcp. The MCP library is loaded when the first client comes."""

    def __init__(self) -> None:
        self._keys: KeyStore | None = None
        self._tracy: Tracy | None = None
        self._manager: StreamableHTTPSessionManager | None = None
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def open(self, keys: KeyStore, tracy: "Tracy") -> None:
        """Say what the tools work with; before the first request."""
        self._keys, self._tracy = keys, tracy
        self._starting, self._stopping = asyncio.Lock(), asyncio.Event()
        self._manager = self._running = None

    async def close(self) -> None:
        """End what runs."""
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the token, then let MCP answer."""
        assert self._keys is not None, "open() comes first"
        headers = {name.lower(): value for name, value in scope["headers"]}
        try:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            principal = await self._keys.authenticate(authorization, "read", "operate", "admin")
        except Problem as problem:
            await problem.response(PATH)(scope, receive, send)
            return
        scope[_TENANT] = TenantScope(principal.tenant_id)
        manager = await self._started()
        await manager.handle_request(scope, receive, send)

    async def _started(self) -> "StreamableHTTPSessionManager":
        async with self._starting:
            if self._manager is None:
                ready: asyncio.Future[StreamableHTTPSessionManager] = asyncio.get_running_loop().create_future()
                self._running = asyncio.ensure_future(self._hold(ready))
                self._manager = await ready
        return self._manager

    async def _hold(self, ready: "asyncio.Future[StreamableHTTPSessionManager]") -> None:
        """Keep the manager running in one task: it has to be left where it was entered."""
        try:
            manager = self._make_manager()
            async with manager.run():
                ready.set_result(manager)
                await self._stopping.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def _make_manager(self) -> "StreamableHTTPSessionManager":
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from mcp.server.transport_security import TransportSecuritySettings

        assert self._tracy is not None
        hosts = [*_LOCAL_HOSTS, *self._tracy.settings.mcp_hosts.split()]
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=hosts,
            allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
        )
        return StreamableHTTPSessionManager(
            app=self._make_server(), json_response=True, stateless=True, security_settings=security
        )

    def _make_server(self) -> "Server[Any]":
        from mcp.server.lowlevel import Server
        from mcp_types import CallToolResult, ListToolsResult, TextContent

        async def list_tools(
            context: "ServerRequestContext[Any, Any]", parameters: "PaginatedRequestParams | None"
        ) -> "ListToolsResult":
            return ListToolsResult(tools=mcp_tools())

        async def call_tool(
            context: "ServerRequestContext[Any, Any]", parameters: "CallToolRequestParams"
        ) -> "CallToolResult":
            assert self._tracy is not None
            assert context.request is not None, "a request over HTTP"
            tenant: TenantScope = context.request.scope[_TENANT]
            toolbox = self._tracy.toolbox(tenant, payloads_allowed=True)
            outcome = await toolbox.call(parameters.name, parameters.arguments or {})
            _log.info("mcp_tool", name=parameters.name[:60], tenant_id=tenant.tenant_id, is_error=outcome.is_error)
            return CallToolResult(content=[TextContent(type="text", text=outcome.text)], is_error=outcome.is_error)

        return Server(
            "clawtrace", version="1", instructions=MCP_INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
        )
