"""The doors for MCP clients: streamable HTTP at /mcp, and stdio by ``clawtrace mcp``."""
