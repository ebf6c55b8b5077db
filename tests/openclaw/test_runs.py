"""Ordinary runs: what the provider was asked is what Trino shows."""

from tests.openclaw.conftest import Install


def test_multi_tool_with_parallel_calls(main: Install, label: str) -> None:
    printed = main.host.say(f"[[scenario:multi-tool label={label}]] Read notes.txt.", label)
    assert "the code is alpha-42" in printed
    spans = main.balanced(label)
    tools = {span["tool_call_id"]: span for span in spans if span["kind"] == "tool_call"}
    assert sorted(span["tool_name"] for span in tools.values()) == ["exec", "exec", "exec", "exec", "read", "read"]
    assert sorted(span["exit_code"] for span in tools.values() if span["exit_code"] is not None) == [0, 0, 0, 3]
