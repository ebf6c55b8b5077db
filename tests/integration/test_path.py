"""From a hook to SQL: every captured run goes in through the gateway and is compared with what its lines say."""

from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.captures import SCENARIOS, hook_lines
from tests.expected import Expected, expected_of
from tests.integration.doors import Doors, spool_id_of, wire_batch

TENANT = "pathtest"
VIEWS = ("events", "spans", "traces", "edges", "alerts", "agents", "tenants")
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


@pytest.fixture(scope="module")
def ingest_keys(make_key: Callable[..., str]) -> dict[str, str]:
    """One ingest key for each scenario: each is an agent of its own."""
    return {scenario: make_key(TENANT, scenario, "ingest") for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def read_key(make_key: Callable[..., str]) -> str:
    """A key that reads the tenant of this module."""
    return make_key(TENANT, "reader", "read")


def send_all(doors: Doors, keys: dict[str, str]) -> None:
    """Send every capture as one spool, in two batches."""
    for scenario in SCENARIOS:
        lines = hook_lines(scenario)
        middle = len(lines) // 2
        for part, first_seq in ((lines[:middle], 0), (lines[middle:], middle)):
            if not part:
                continue
            answer = doors.send(keys[scenario], wire_batch(part, spool_id_of(TENANT, scenario), first_seq))
            assert answer.status_code == 202, answer.text
            assert answer.json() == {"accepted": len(part), "rejected": []}


@pytest.fixture(scope="module")
def stored(doors: Doors, ingest_keys: dict[str, str], read_key: str) -> dict[str, list[dict[str, Any]]]:
    """Everything sent and stored; the spans of each scenario, as the tenant sees them."""
    send_all(doors, ingest_keys)
    doors.wait_until_stored()
    spans = defaultdict(list)
    columns = (
        "agent_id, trace_id, span_id, parent_span_id, kind, status, run_id, tool_call_id, cost_usd, reported_cost_usd"
    )
    for row in doors.sql(read_key, f"SELECT {columns}, {', '.join(TOKENS)} FROM spans"):
        spans[row["agent_id"]].append(row)
    return spans


@pytest.fixture(scope="module")
def expected() -> dict[str, Expected]:
    """What the captures say."""
    return {scenario: expected_of(scenario) for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_calls_tokens_and_tools_equal_the_capture(
    scenario: str, stored: dict[str, list[dict[str, Any]]], expected: dict[str, Expected]
) -> None:
    spans, wanted = stored[scenario], expected[scenario]
    model_calls = [span for span in spans if span["kind"] == "model_call"]
    assert {span["span_id"] for span in model_calls} == wanted.model_call_spans
    assert len(model_calls) == len(wanted.model_call_spans)
    found = Counter({name: sum(span[name] or 0 for span in model_calls) for name in TOKENS})
    assert found == Counter({name: wanted.tokens[name] for name in TOKENS})
    assert all(span[name] is None for span in spans if span["kind"] != "model_call" for name in TOKENS)
    tool_calls = [span["tool_call_id"] for span in spans if span["kind"] == "tool_call"]
    assert sorted(tool_calls) == sorted(wanted.tool_call_ids)
    reported = sum(Decimal(span["reported_cost_usd"]) for span in model_calls if span["reported_cost_usd"] is not None)
    assert float(reported) == pytest.approx(wanted.reported_cost_usd, abs=1e-9)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_span_hangs_under_its_parent(
    scenario: str, stored: dict[str, list[dict[str, Any]]], expected: dict[str, Expected]
) -> None:
    spans = {span["span_id"]: span for span in stored[scenario]}
    # A run that OpenClaw gave no trace waits unseen until something says that it has ended; these captures stop before.
    assert bool(spans) == bool(expected[scenario].trace_ids)
    for span in spans.values():
        parent = span["parent_span_id"]
        assert parent is None or parent in spans, f"{span} hangs under an unknown span"
        if span["kind"] in ("model_call", "tool_call"):
            assert parent is not None, f"{span} hangs nowhere"
    runs = {span["run_id"]: span for span in spans.values() if span["kind"] == "run"}
    for run_id, tool_call_id in expected[scenario].spawned_by.items():
        parent = runs[run_id]["parent_span_id"]
        assert parent is not None
        assert spans[parent]["tool_call_id"] == tool_call_id
    if trace_ids := expected[scenario].trace_ids:
        assert {span["trace_id"] for span in spans.values()} == trace_ids


def test_trace_roll_ups_add_up(
    doors: Doors, read_key: str, stored: dict[str, list[dict[str, Any]]], expected: dict[str, Expected]
) -> None:
    question = (
        f"SELECT agent_id, sum(num_model_calls) AS calls, sum(num_tool_calls) AS tools, sum(num_spans) AS spans, "
        f"{', '.join(f'sum({name}) AS {name}' for name in TOKENS)} FROM traces GROUP BY agent_id"
    )
    rows = {row["agent_id"]: row for row in doors.sql(read_key, question)}
    assert set(rows) == {scenario for scenario in SCENARIOS if expected[scenario].trace_ids}
    for scenario, row in rows.items():
        wanted = expected[scenario]
        assert row["calls"] == len(wanted.model_call_spans), scenario
        assert row["tools"] == len(wanted.tool_call_ids), scenario
        assert row["spans"] == len(stored[scenario]), scenario
        assert {name: row[name] for name in TOKENS} == {name: wanted.tokens[name] for name in TOKENS}, scenario


def test_own_prices_agree_with_what_openclaw_reported(stored: dict[str, list[dict[str, Any]]]) -> None:
    priced = [span for scenario in ("multi-tool", "anthropic", "runaway") for span in stored[scenario]]
    calls = [span for span in priced if span["kind"] == "model_call"]
    assert calls
    for span in calls:
        assert float(span["cost_usd"]) == pytest.approx(float(span["reported_cost_usd"]), abs=1e-9)


def test_events_are_stored_once(doors: Doors, read_key: str, stored: Any, expected: dict[str, Expected]) -> None:
    rows = doors.sql(read_key, "SELECT agent_id, count(*) AS num_events FROM events GROUP BY agent_id")
    counts = {row["agent_id"]: row["num_events"] for row in rows}
    assert counts == {scenario: wanted.num_events for scenario, wanted in expected.items()}


def test_replaying_the_same_files_changes_no_row(
    doors: Doors, read_key: str, ingest_keys: dict[str, str], stored: Any
) -> None:
    before = fingerprints(doors, read_key)
    send_all(doors, ingest_keys)
    doors.wait_until_stored()
    assert fingerprints(doors, read_key) == before


def fingerprints(doors: Doors, read_key: str) -> dict[str, tuple[int, str]]:
    """Number of rows and an order-free checksum over all columns of each view."""
    found = {}
    for view in VIEWS:
        columns = doors.sql(read_key, f"SELECT * FROM {view} LIMIT 1")
        row = ", ".join(columns[0]) if columns else "1"
        question = f"SELECT count(*) AS num_rows, to_hex(checksum(ROW({row}))) AS digest FROM {view}"
        answer = doors.sql(read_key, question)[0]
        found[view] = (answer["num_rows"], answer["digest"])
    return found
