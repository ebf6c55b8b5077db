"""The tools as MCP tells of them: read-only, closed arguments, no tenant anywhere."""

from jsonschema import Draft202012Validator

from api.mcp.server import mcp_tools
from api.tracy.tools import TOOLS


def test_every_tool_only_reads_and_takes_no_tenant() -> None:
    tools = mcp_tools()
    assert [tool.name for tool in tools] == [tool.name for tool in TOOLS]
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.destructive_hint is False
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.input_schema["additionalProperties"] is False
        assert "tenant" not in " ".join(tool.input_schema["properties"])
        assert all(argument.get("description") for argument in tool.input_schema["properties"].values())
