"""What can be wrong, and what to do about it.

Upstream: facts.
Downstream: api/console/doctor/command.py prints findings.
Guarantee: pure; each check looks at one part of the facts, and one that has nothing to say found nothing. A finding
says what is wrong in one sentence and the fix as something to type or to look at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from api.console.doctor.facts import AgentFacts, CaptureFacts, Facts

Level = Literal["wrong", "note", "skipped", "fine"]

DAY_S: Final = 86_400.0
# An agent that was not seen for so long is gone, not silent.
GONE_S: Final = 7 * DAY_S
SILENT_S: Final = DAY_S
CLOCK_AHEAD_MS: Final = 30_000
CLOCK_BEHIND_MS: Final = 300_000
OWN_CLOCK_S: Final = 30.0
MAX_LAG_RECORDS: Final = 1_000
LEAST_FREE_SHARE: Final = 0.1
LEAST_FREE_BYTES: Final = 5 * 1024**3
_GIB: Final = 1024**3
_READER_ROLES: Final = frozenset({"viewer", "operator", "admin"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    check: str
    level: Level
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, the part of the facts that it needs, and what it says when all is well."""

    name: str
    part: str
    well: str
    look: Callable[[Facts], Iterator[Finding]]


def examine(facts: Facts) -> list[Finding]:
    """Run all checks; each gives at least one finding."""
    findings: list[Finding] = []
    for check in CHECKS:
        if getattr(facts, check.part) is None:
            why = facts.unknown.get(check.part, "it could not be looked at")
            findings.append(Finding(check.name, "skipped", why))
            continue
        findings += list(check.look(facts)) or [Finding(check.name, "fine", check.well)]
    return findings


def _stack(facts: Facts) -> Iterator[Finding]:
    stack = facts.stack
    assert stack is not None
    if not stack.is_running:
        if stack.taken_ports:
            ports = ", ".join(map(str, stack.taken_ports))
            yield Finding(
                "stack",
                "wrong",
                f"The stack is not running, and somebody else holds its ports: {ports}.",
                "stop what holds them (ss -ltnp names it), or set another CLAWTRACE_PORT_BASE; then clawtrace up",
            )
        else:
            yield Finding("stack", "wrong", "The stack is not running.", "clawtrace up")
        return
    for process in stack.processes:
        logs = f"clawtrace logs {process.name}"
        if process.state in ("backoff", "failed"):
            told = f"{process.name} ends again and again ({process.num_restarts} restarts so far)."
            yield Finding("stack", "wrong", told, f"{logs} says why; {_runbook('When a process cannot go on')}")
        elif process.state != "running":
            told = f"{process.name} is not ready: {'; '.join(process.missing) or process.state}."
            yield Finding("stack", "wrong", told, f"wait a minute, then {logs}")
        elif process.num_restarts:
            yield Finding(
                "stack", "note", f"{process.name} was restarted {process.num_restarts} times.", f"{logs} says why"
            )


def _disk(facts: Facts) -> Iterator[Finding]:
    disk = facts.disk
    assert disk is not None
    share = disk.free_bytes / disk.total_bytes if disk.total_bytes else 0.0
    if share < LEAST_FREE_SHARE or disk.free_bytes < LEAST_FREE_BYTES:
        yield Finding(
            "disk",
            "wrong",
            f"The disk of {disk.folder} is nearly full: {disk.free_bytes / _GIB:.1f} GiB free, {share:.0%}.",
            "make room; clawtrace lake upkeep expires old snapshots and removes files that nothing names",
        )


def _api(facts: Facts) -> Iterator[Finding]:
    api = facts.api
    assert api is not None
    if not api.answers:
        yield Finding("api", "wrong", f"The API at {api.url} does not answer.", "clawtrace status; --url names another")
        return
    for reason in api.missing:
        yield Finding("api", "wrong", f"The API cannot answer requests: {reason}.", "clawtrace status")


def _key(facts: Facts) -> Iterator[Finding]:
    key = facts.key
    assert key is not None
    make = "clawtrace keys create --tenant … --scope read makes one; set it as CLAWTRACE_READ_KEY"
    if key.role not in _READER_ROLES:
        yield Finding("key", "wrong", f"The key does not open the API: {key.refusal}", make)


def _agents(facts: Facts) -> Iterator[Finding]:
    agents = facts.agents
    assert agents is not None
    if not agents:
        yield Finding(
            "agents",
            "wrong",
            "No agent of this tenant has ever sent a run.",
            "openclaw clawtrace status on its machine; README: Send events",
        )
    for agent in agents:
        if SILENT_S < agent.silent_s < GONE_S:
            yield Finding(
                "agents",
                "wrong",
                f"{agent.agent_id} was last heard of {_age(agent)} ago.",
                "openclaw clawtrace status on its machine: does the gateway run, what waits in the spool?",
            )


def _coverage(facts: Facts) -> Iterator[Finding]:
    captures = facts.captures
    assert captures is not None
    for alert in facts.alerts or ():
        if alert.rule == "blindness":
            fix = "upgrade the plugin after an upgrade of OpenClaw; runbook: blindness"
            yield Finding("coverage", "wrong", f"{alert.agent_id}: {alert.message}", fix)
    for capture in captures:
        for message, fix in _holes(capture):
            yield Finding("coverage", "wrong", f"{capture.agent_id}: {message}", fix)


def _holes(capture: CaptureFacts) -> Iterator[tuple[str, str]]:
    hooks = capture.hooks
    if "model_call_ended" in hooks and not hooks & {"llm_input", "llm_output", "agent_end"}:
        yield (
            "the plugin may not read the conversation, so prompts and ends of runs are missing.",
            "openclaw plugins inspect clawtrace --runtime --json; set hooks.allowConversationAccess for it",
        )
    if "llm_input" in hooks and not hooks & {"model_call_started", "model_call_ended"}:
        yield (
            "single model calls are not seen, only their sums.",
            "diagnostics of OpenClaw are off, or the plugin is older than OpenClaw; upgrade the plugin",
        )
    if "after_tool_call" in hooks and "before_tool_call" not in hooks:
        yield ("tool calls are seen only when they end, so nothing can stop one.", "upgrade the plugin")


def _clocks(facts: Facts) -> Iterator[Finding]:
    captures = facts.captures
    assert captures is not None
    for capture in captures:
        if capture.delay_ms < -CLOCK_AHEAD_MS:
            yield Finding(
                "clocks",
                "wrong",
                f"{capture.agent_id}: its clock is {-capture.delay_ms / 1000:.0f} s ahead of the gateway's.",
                "set the clock of its machine (NTP); durations inside a run are right, days and silence are not",
            )
        elif capture.delay_ms > CLOCK_BEHIND_MS:
            yield Finding(
                "clocks",
                "wrong",
                f"{capture.agent_id}: no event of the last day came sooner than {capture.delay_ms / 1000:.0f} s.",
                "its clock is behind (NTP), or its spool is never empty: openclaw clawtrace status",
            )
    if facts.api is not None and abs(facts.api.clock_ahead_s) > OWN_CLOCK_S:
        ahead = "ahead of" if facts.api.clock_ahead_s > 0 else "behind"
        told = f"The API's clock is {abs(facts.api.clock_ahead_s):.0f} s {ahead} this machine's."
        yield Finding("clocks", "wrong", told, "set both clocks (NTP)")


def _plugin(facts: Facts) -> Iterator[Finding]:
    captures = facts.captures
    assert captures is not None
    for capture in captures:
        if version_of(capture.plugin_version) < version_of(facts.newest_plugin):
            yield Finding(
                "plugin",
                "wrong",
                f"{capture.agent_id}: its plugin is {capture.plugin_version or 'of an unknown version'}, "
                f"this ClawTrace has {facts.newest_plugin}.",
                "openclaw plugins install --link ./producers/openclaw_plugin --force --accept-capabilities",
            )


def version_of(text: str) -> tuple[int, ...]:
    """Version as numbers; what follows a number in its part does not count."""
    numbers = []
    for part in text.split("-")[0].split("."):
        digits = "".join(char for char in part if char.isdigit())
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)


def _dead_letters(facts: Facts) -> Iterator[Finding]:
    assert facts.dead_letters is not None
    for it in facts.dead_letters:
        letters = "1 dead letter" if it.num_letters == 1 else f"{it.num_letters} dead letters"
        # What the gateway could not read never was in a topic to which it could go back.
        then = "mend what sends it" if it.stage == "gateway" else "mend the cause, then clawtrace dlq replay"
        yield Finding(
            "dead letters",
            "wrong",
            f"{letters} of {it.topic} by the {it.stage} in the last week; the last: {it.last_reason}",
            f"clawtrace dlq list --topic {it.topic} --stage {it.stage}; {then}",
        )


# Gauge, the most that is well, what is said above it, the fix.
_LIMITS: Final[tuple[tuple[str, float, str, str], ...]] = (
    (
        "clawtrace_stitcher_lag_records",
        MAX_LAG_RECORDS,
        "The stitcher is {} records behind.",
        "clawtrace logs stitcher",
    ),
    ("clawtrace_sink_lag_records", MAX_LAG_RECORDS, "The tables are {} records behind.", "clawtrace logs sink"),
    ("clawtrace_budgets_lag_records", MAX_LAG_RECORDS, "Budgets are {} records behind.", "clawtrace logs budgets"),
    (
        "clawtrace_notifier_lag_records",
        MAX_LAG_RECORDS,
        "The notifier is {} records behind.",
        "clawtrace logs notifier",
    ),
    ("clawtrace_learner_lag_records", MAX_LAG_RECORDS, "The learner is {} records behind.", "clawtrace logs learner"),
    ("clawtrace_learner_invalid_rubrics", 0, "{} rubrics cannot be read.", "clawtrace logs learner"),
    ("clawtrace_notifier_dead_messages", 0, "{} messages to people were given up.", "clawtrace channels dead"),
    (
        "clawtrace_stitcher_config_broken_files",
        0,
        "prices.toml or rules.toml cannot be read.",
        "clawtrace logs stitcher",
    ),
    ("clawtrace_gateway_prices_broken", 0, "The gateway cannot read prices.toml.", "clawtrace prices check"),
)


def _flow(facts: Facts) -> Iterator[Finding]:
    gauges = facts.gauges
    assert gauges is not None
    for name, most, said, fix in _LIMITS:
        value = gauges.get(name, 0.0)
        if value > most:
            yield Finding("flow", "wrong", said.format(f"{value:,.0f}"), fix)


def _prices(facts: Facts) -> Iterator[Finding]:
    assert facts.alerts is not None
    for alert in facts.alerts:
        if alert.rule == "unpriced_model":
            fix = "clawtrace prices set PROVIDER MODEL --input … --output …, then clawtrace prices reprice"
            yield Finding("prices", "wrong", f"{alert.agent_id}: {alert.message}", fix)


def _tracy(facts: Facts) -> Iterator[Finding]:
    assert facts.tracy is not None
    if not facts.tracy.is_configured:
        yield Finding("tracy", "note", "Tracy has no model; everything else works.", facts.tracy.how_to_configure)


def _age(agent: AgentFacts) -> str:
    hours = agent.silent_s / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"


def _runbook(section: str) -> str:
    return f"infra/runbook.md: {section}"


CHECKS: Final[tuple[Check, ...]] = (
    Check("stack", "stack", "every process runs", _stack),
    Check("disk", "disk", "there is room", _disk),
    Check("api", "api", "the API answers", _api),
    Check("key", "key", "the key opens the API", _key),
    Check("flow", "gauges", "stitcher, tables, budgets, learner and notifier keep up", _flow),
    Check("dead letters", "dead_letters", "none in the last week that waits", _dead_letters),
    Check("agents", "agents", "every agent was heard of within a day", _agents),
    Check("coverage", "captures", "no hook is missing", _coverage),
    Check("clocks", "captures", "clocks agree", _clocks),
    Check("plugin", "captures", "every plugin is up to date", _plugin),
    Check("prices", "alerts", "every model has a price", _prices),
    Check("tracy", "tracy", "Tracy has a model", _tracy),
)
