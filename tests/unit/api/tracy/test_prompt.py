"""The prompt: the same bytes each time, marks for the cache where the API allows them."""

import json
from datetime import UTC, datetime

from jsonschema import Draft202012Validator

from api.tracy.prompt import system_prompt, tool_definitions, user_message, with_cache_mark
from api.tracy.sessions import MAX_HISTORY_CHARS, Turn, history_of


def test_the_prompt_is_the_same_each_time_and_marked() -> None:
    assert json.dumps(system_prompt(False)) == json.dumps(system_prompt(False))
    for tools in (tool_definitions(True), tool_definitions(False)):
        assert [("cache_control" in tool) for tool in tools] == [False] * (len(tools) - 1) + [True]
        for tool in tools:
            Draft202012Validator.check_schema(tool["input_schema"])


def test_only_the_last_message_is_marked() -> None:
    first = user_message("Hello", {"trace_id": "t1"}, datetime(2026, 3, 1, tzinfo=UTC))
    assert "2026-03-01" in first["content"][0]["text"]
    marked = with_cache_mark([first, {"role": "assistant", "content": [{"type": "text", "text": "x"}]}, first])
    assert "cache_control" not in json.dumps(marked[:2])
    assert marked[2]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in first["content"][0]


def test_the_prompt_names_every_table_and_no_tenant_column() -> None:
    text = system_prompt(False)[0]["text"]
    for view in ("agents", "alerts", "cards", "edges", "events", "spans", "tenants", "traces"):
        assert f"\n{view}: " in text
    assert "tenant_id" not in text


def turn(question: str, text: str) -> Turn:
    return Turn(question, {}, text, [], None)


def test_history_is_what_was_shown_in_turns_of_two() -> None:
    turns = [turn("a", "[A](#c1)"), turn("failed", " "), turn("b", "B")]
    assert [(message["role"], message["content"][0]["text"]) for message in history_of(turns)] == [
        ("user", "a"), ("assistant", "A"), ("user", "b"), ("assistant", "B"),
    ]  # fmt: skip


def test_history_keeps_the_newest_within_its_bound() -> None:
    turns = [turn(f"q{number}", "x" * 5_000) for number in range(50)]
    messages = history_of(turns)
    assert messages[-2]["content"][0]["text"] == "q49"
    assert len(json.dumps(messages)) < MAX_HISTORY_CHARS + 5_000
