"""Ordinary runs, all at once: what the provider was asked is what Trino shows, and nothing twice."""

import uuid
from concurrent.futures import Future
from dataclasses import dataclass

import pytest

from tests.openclaw.balance import Row
from tests.openclaw.conftest import Install


@dataclass(frozen=True)
class Case:
    """A message, and what must come of it."""

    marker: str
    reply: str
    scenarios: tuple[str, ...]
    agent: str = "main"


CASES = {
    "multi-tool": Case("multi-tool", "the code is alpha-42", ("multi-tool",) * 5),
    "anthropic": Case("multi-tool", "the code is alpha-42", ("multi-tool",) * 5, "claude"),
    "thinking": Case("thinking", "The code is alpha-42.", ("thinking",) * 2, "claude"),
    "sub-agent": Case("subagent", "A helper is counting.", ("announce", "child", "child", "subagent", "subagent")),
    "grandchild": Case(
        "nested",
        "A manager is on it.",
        ("announce", "announce", "announce", "child", "child", "nested", "nested", "subagent", "subagent"),
    ),
    "tool-search": Case("tool-search", "A helper counts.", ("announce", "child", "child", *("tool-search",) * 3)),
    "retry": Case("flaky", "Hello after the trouble.", ("flaky", "flaky")),
    "rate-limit": Case("flaky status=429", "Hello after the trouble.", ("flaky", "flaky")),
    "cut": Case("cut", "Hello after the cut.", ("cut", "cut")),
    "fallback": Case("fallback status=404", "Answered by the fallback model.", ("fallback", "fallback")),
}


@pytest.fixture(scope="module")
def replies(main: Install) -> dict[str, tuple[str, "Future[str]"]]:
    """Every case is sent at the same time: several sessions at once in one OpenClaw."""
    sent = {}
    for name, case in CASES.items():
        label = f"{name}-{uuid.uuid4().hex[:6]}"
        message = f"[[scenario:{case.marker} label={label}]] Please."
        sent[name] = (label, main.host.ask(message, label, case.agent))
    return sent


def balanced(main: Install, replies: dict[str, tuple[str, "Future[str]"]], name: str) -> list[Row]:
    """Wait for a case's reply and for its spans to equal the ledger."""
    label, reply = replies[name]
    assert CASES[name].reply in reply.result(120)
    spans = main.balanced(label)
    assert sorted(entry.scenario for entry in main.entries(label)) == sorted(CASES[name].scenarios)
    assert len({span["trace_id"] for span in spans}) == 1, "a run and all it caused are one trace"
    return spans


@pytest.mark.parametrize("name", CASES)
def test_spans_equal_the_ledger(main: Install, replies: dict[str, tuple[str, "Future[str]"]], name: str) -> None:
    spans = balanced(main, replies, name)
    ids = {span["span_id"] for span in spans}
    assert all(span["parent_span_id"] is None or span["parent_span_id"] in ids for span in spans)


@pytest.mark.parametrize("name", ["multi-tool", "anthropic"])
def test_parallel_tools_and_their_exit_codes(
    main: Install, replies: dict[str, tuple[str, "Future[str]"]], name: str
) -> None:
    tools = [span for span in balanced(main, replies, name) if span["kind"] == "tool_call"]
    assert sorted(span["tool_name"] for span in tools) == ["exec", "exec", "exec", "exec", "read", "read"]
    assert sorted(span["exit_code"] for span in tools if span["exit_code"] is not None) == [0, 0, 0, 3]


@pytest.mark.parametrize("name", ["sub-agent", "tool-search", "grandchild"])
def test_a_sub_agent_hangs_under_the_tool_call_that_spawned_it(
    main: Install, replies: dict[str, tuple[str, "Future[str]"]], name: str
) -> None:
    spans = {span["span_id"]: span for span in balanced(main, replies, name)}
    children = [
        span
        for span in spans.values()
        if span["kind"] == "run" and ":subagent:" in span["session_key"] and not span["run_id"].startswith("announce:")
    ]
    assert len(children) == (2 if name == "grandchild" else 1)
    for child in children:
        assert spans[child["parent_span_id"]]["tool_name"] == "sessions_spawn"


@pytest.mark.parametrize("name", ["retry", "rate-limit", "cut", "fallback"])
def test_a_failed_call_is_an_error_and_its_run_is_not(
    main: Install, replies: dict[str, tuple[str, "Future[str]"]], name: str
) -> None:
    spans = balanced(main, replies, name)
    calls = [span for span in spans if span["kind"] == "model_call"]
    assert sorted(span["status"] for span in calls) == ["error", "ok"]
    assert [span["status"] for span in spans if span["kind"] == "run"] == ["ok"]
    if name == "fallback":
        assert {span["name"] for span in calls} == {"chat sim-1", "chat sim-2"}


def test_own_prices_agree_with_openclaw(main: Install, replies: dict[str, tuple[str, "Future[str]"]]) -> None:
    for name in ("multi-tool", "anthropic", "grandchild"):
        for span in balanced(main, replies, name):
            if span["kind"] == "model_call":
                assert float(span["cost_usd"]) == pytest.approx(float(span["reported_cost_usd"]), abs=1e-9)
