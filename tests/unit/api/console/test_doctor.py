"""`clawtrace doctor`: each trouble is found by what it looks like, and a healthy stack has none."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from api.client import EXIT_AWAY
from api.console.doctor.checks import CHECKS, Finding, examine, version_of
from api.console.doctor.command import make_doctor_app
from api.console.doctor.facts import (
    AgentFacts,
    AlertFact,
    ApiFacts,
    CaptureFacts,
    DeadLetterFact,
    DiskFacts,
    Facts,
    KeyFacts,
    ProcessFact,
    StackFacts,
    TracyFacts,
)
from tests.unit.api.console.spoken_api import Document, spoken_api

GIB = 1024**3
HOOKS = frozenset({"llm_input", "llm_output", "agent_end", "model_call_started", "model_call_ended", "before_tool_call",
                   "after_tool_call"})  # fmt: skip
CAPTURE = CaptureFacts("office-mac", "0.4.0", "2026.9.6", 40, HOOKS)
API = ApiFacts("http://api", answers=True)
HEALTHY = Facts(
    stack=StackFacts(True, (ProcessFact("kafka", "running", 0), ProcessFact("sink", "running", 0))),
    disk=DiskFacts("/data", 72 * GIB, 252 * GIB),
    api=API,
    key=KeyFacts("viewer", "acme01"),
    agents=(AgentFacts("office-mac", 60.0),),
    captures=(CAPTURE,),
    alerts=(),
    dead_letters=(),
    gauges={"clawtrace_sink_lag_records": 12.0, "clawtrace_stitcher_config_broken_files": 0.0},
    tracy=TracyFacts(True),
    newest_plugin="0.4.0",
)


def test_a_healthy_stack_has_nothing_wrong() -> None:
    findings = examine(HEALTHY)
    assert [finding.level for finding in findings] == ["fine"] * len(CHECKS)
    assert [finding.check for finding in findings] == [check.name for check in CHECKS]


def with_process(state: str, num_restarts: int = 3) -> Facts:
    return replace(HEALTHY, stack=StackFacts(True, (ProcessFact("sink", state, num_restarts),)))


def with_capture(**changes: object) -> Facts:
    return replace(HEALTHY, captures=(replace(CAPTURE, **changes),))


def with_gauge(name: str, value: float) -> Facts:
    return replace(HEALTHY, gauges={name: value})


TROUBLES: list[tuple[str, Facts, str, str, str]] = [
    ("stack", replace(HEALTHY, stack=StackFacts(False)), "stack", "not running", "clawtrace up"),
    (
        "port",
        replace(HEALTHY, stack=StackFacts(False, taken_ports=(4601, 4603))),
        "stack",
        "4601, 4603",
        "CLAWTRACE_PORT_BASE",
    ),
    ("restarting", with_process("backoff"), "stack", "sink ends again and again (3 restarts", "clawtrace logs sink"),
    ("failed", with_process("failed"), "stack", "sink ends again and again", "runbook"),
    (
        "waiting",
        replace(HEALTHY, stack=StackFacts(True, (ProcessFact("notifier", "starting", 0, ("Postgres is away",)),))),
        "stack",
        "notifier is not ready: Postgres is away.",
        "clawtrace logs notifier",
    ),
    ("starting", with_process("starting"), "stack", "sink is not ready", "clawtrace logs sink"),
    (
        "disk-share",
        replace(HEALTHY, disk=DiskFacts("/data", 20 * GIB, 252 * GIB)),
        "disk",
        "20.0 GiB free, 8%",
        "upkeep",
    ),
    ("disk-bytes", replace(HEALTHY, disk=DiskFacts("/data", 4 * GIB, 10 * GIB)), "disk", "nearly full", "make room"),
    ("api", replace(HEALTHY, api=ApiFacts("http://api", answers=False)), "api", "does not answer", "clawtrace status"),
    (
        "trino",
        replace(HEALTHY, api=replace(API, missing=("Trino is still starting",))),
        "api",
        "Trino is still",
        "status",
    ),
    (
        "key",
        replace(HEALTHY, key=KeyFacts("", refusal="a key with the scope ingest")),
        "key",
        "scope ingest",
        "keys create",
    ),
    ("no-agent", replace(HEALTHY, agents=()), "agents", "ever sent", "README"),
    (
        "silent",
        replace(HEALTHY, agents=(AgentFacts("office-mac", 30 * 3600.0),)),
        "agents",
        "30 hours",
        "openclaw clawtrace",
    ),
    ("silent-days", replace(HEALTHY, agents=(AgentFacts("office-mac", 6.9 * 86400),)), "agents", "7 days", "spool"),
    (
        "blind",
        replace(HEALTHY, alerts=(AlertFact("blindness", "office-mac", "llm_input no longer comes."),)),
        "coverage",
        "llm_input no longer",
        "upgrade the plugin",
    ),
    (
        "no-conversation",
        with_capture(hooks=HOOKS - {"llm_input", "llm_output", "agent_end"}),
        "coverage",
        "may not read the conversation",
        "allowConversationAccess",
    ),
    (
        "no-calls",
        with_capture(hooks=HOOKS - {"model_call_started", "model_call_ended"}),
        "coverage",
        "single model calls",
        "diagnostics",
    ),
    ("no-before", with_capture(hooks=HOOKS - {"before_tool_call"}), "coverage", "nothing can stop one", "upgrade"),
    ("ahead", with_capture(delay_ms=-31_000), "clocks", "31 s ahead", "NTP"),
    ("behind", with_capture(delay_ms=301_000), "clocks", "sooner than 301 s", "spool"),
    ("own-clock", replace(HEALTHY, api=replace(API, clock_ahead_s=-90.0)), "clocks", "90 s behind", "NTP"),
    ("plugin", with_capture(plugin_version="0.3.9"), "plugin", "0.3.9, this ClawTrace has 0.4.0", "plugins install"),
    (
        "letters",
        replace(HEALTHY, dead_letters=(DeadLetterFact("clawtrace.events.v1", "stitcher", 2, "no array"),)),
        "dead letters",
        "2 dead letters of clawtrace.events.v1 by the stitcher",
        "dlq replay",
    ),
    (
        "bad-bodies",
        replace(HEALTHY, dead_letters=(DeadLetterFact("clawtrace.events.v1", "gateway", 1, "no JSON"),)),
        "dead letters",
        "1 dead letter of",
        "mend what sends it",
    ),
    (
        "stitcher-lag",
        with_gauge("clawtrace_stitcher_lag_records", 5_000),
        "flow",
        "stitcher is 5,000 records",
        "logs stitcher",
    ),
    ("sink-lag", with_gauge("clawtrace_sink_lag_records", 1_001), "flow", "tables are 1,001 records", "logs sink"),
    ("budgets-lag", with_gauge("clawtrace_budgets_lag_records", 1_001), "flow", "Budgets are", "logs budgets"),
    ("notifier-lag", with_gauge("clawtrace_notifier_lag_records", 1_001), "flow", "notifier is", "logs notifier"),
    ("learner-lag", with_gauge("clawtrace_learner_lag_records", 1_001), "flow", "learner is", "logs learner"),
    ("rubrics", with_gauge("clawtrace_learner_invalid_rubrics", 1), "flow", "1 rubrics", "logs learner"),
    ("messages", with_gauge("clawtrace_notifier_dead_messages", 1), "flow", "1 messages to people", "channels dead"),
    ("config", with_gauge("clawtrace_stitcher_config_broken_files", 1), "flow", "cannot be read", "logs stitcher"),
    ("price-file", with_gauge("clawtrace_gateway_prices_broken", 1), "flow", "prices.toml", "prices check"),
    (
        "prices",
        replace(HEALTHY, alerts=(AlertFact("unpriced_model", "office-mac", "acme/large has no price."),)),
        "prices",
        "acme/large has no price",
        "prices set",
    ),
]


@pytest.mark.parametrize(
    ("facts", "check", "message", "fix"), [it[1:] for it in TROUBLES], ids=[it[0] for it in TROUBLES]
)
def test_a_trouble_is_found_with_its_fix(facts: Facts, check: str, message: str, fix: str) -> None:
    wrong = [finding for finding in examine(facts) if finding.level == "wrong"]
    assert [finding.check for finding in wrong] == [check]
    assert message in wrong[0].message
    assert fix in wrong[0].fix


NOT_WRONG = {
    "restarted-once": (with_process("running", 1), "note"),
    "no-model": (replace(HEALTHY, tracy=TracyFacts(False, "Set CLAWTRACE_TRACY_API_KEY.")), "note"),
    "gone": (replace(HEALTHY, agents=(AgentFacts("old-mac", 8 * 86400.0),)), "fine"),
    "newer": (with_capture(plugin_version="0.10.0"), "fine"),
    "unknown": (replace(HEALTHY, captures=None, unknown={"captures": "Trino does not answer"}), "skipped"),
    "nearly": (with_capture(delay_ms=-30_000), "fine"),
    "at-the-limit": (with_gauge("clawtrace_sink_lag_records", 1_000), "fine"),
}


@pytest.mark.parametrize("name", NOT_WRONG)
def test_what_is_not_wrong(name: str) -> None:
    facts, level = NOT_WRONG[name]
    levels = {finding.level for finding in examine(facts)}
    assert levels == {"fine", level}


def test_what_could_not_be_looked_at_says_why() -> None:
    findings = examine(replace(HEALTHY, captures=None, unknown={"captures": "Trino does not answer"}))
    skipped = {finding.check: finding.message for finding in findings if finding.level == "skipped"}
    assert skipped == dict.fromkeys(("coverage", "clocks", "plugin"), "Trino does not answer")


def test_versions_are_numbers() -> None:
    assert version_of("0.9.1") < version_of("0.10") < version_of("1.0.0-beta.2") < version_of("1.0.1")
    assert version_of("") < version_of("0.1")


def test_the_command_says_what_is_wrong_and_with_which_exit_code() -> None:
    """An API with no agent, seen from another machine."""
    nothing = {"columns": [], "rows": [], "truncated": False}
    replies = {
        "/readyz": [Document({"ready": True, "missing": []})],
        "/v1/me": [Document({"tenant_id": "acme01", "role": "viewer", "actor": "key:k"})],
        "/v1/sql": [Document(nothing)],
        "/v1/alerts": [Document({"items": [], "next_cursor": None})],
        "/v1/tracy": [Document({"is_configured": True, "model": "sim-1", "how_to_configure": None})],
    }
    app = make_doctor_app(lambda: pytest.fail("the stack of this machine is not asked about another's API"))
    with spoken_api({**replies}) as api:
        done = CliRunner().invoke(app, ["--json", "--url", api.url, "--key", "k"])
        assert done.exit_code == EXIT_AWAY
        found = json.loads(done.stdout)
        levels = {finding["check"]: finding["level"] for finding in found["findings"]}
        assert (found["is_well"], levels["agents"], levels["key"], levels["tracy"]) == (False, "wrong", "fine", "fine")
        assert levels["stack"] == levels["flow"] == levels["dead letters"] == levels["disk"] == "skipped"
        told = CliRunner().invoke(app, ["--url", api.url, "--key", "k"])
        assert "✗ agents" in told.stdout
        assert told.stdout.endswith("1 wrong\n")
        api.replies["/v1/me"] = [Document({"detail": "this key sends; it does not read"}, 403)]
        refused = json.loads(CliRunner().invoke(app, ["--json", "--url", api.url, "--key", "k"]).stdout)
    wrong = [Finding(**finding) for finding in refused["findings"] if finding["level"] == "wrong"]
    assert [finding.check for finding in wrong] == ["key"]
    assert "does not read" in wrong[0].message
