"""What a person must know of each rule that its code does not say: its states, and what to do.

Upstream: the rules.
Downstream: the page ``infra/reference/alert-rules.md``; the list of rules of the API.
Guarantee: a test sees that every rule has an entry, and that nothing else has.
"""

import sys
from typing import Final, NamedTuple

from stream_jobs.contracts.alert import AlertRule, AlertState


class RuleGuide(NamedTuple):
    """States besides ok, when it is ok again, and what to do."""

    states: tuple[AlertState, ...]
    recovery: str
    remedy: str


_NEVER = "Never: what a run has done stays done."
_STOP_OR_RAISE = "Look at the run. If it repeats itself, stop it; if it is worth its money, raise the limit."

GUIDES: Final[dict[AlertRule, RuleGuide]] = {
    "run_cost": RuleGuide(("alert",), _NEVER, _STOP_OR_RAISE),
    "session_cost": RuleGuide(
        ("warn", "alert"),
        "When enough of the spending is older than the window.",
        "Look at the traces of the session, its sub-agents first. Begin a new session, or raise the limit.",
    ),
    "cost_rate": RuleGuide(
        ("alert",),
        "When the rate has fallen to half of the limit.",
        "Look at what runs now, most expensive first: a loop, a schedule that fires too often, a dearer model. If this "
        "is the new normal, the rule learns it within days; raise `factor` until then.",
    ),
    "cost_forecast": RuleGuide(
        ("alert",), _NEVER, "The money is not spent yet. " + _STOP_OR_RAISE + " The forecast is in the evidence."
    ),
    "context_growth": RuleGuide(
        ("alert",),
        "When the prompt has become shorter by a fifth: after compaction or a reset.",
        "Compact or reset the session. When most of the history is not read from the cache "
        "(`resent_uncached_tokens`), find out why: something at the beginning of the prompt changes with each call.",
    ),
    "stuck_run": RuleGuide(
        ("alert",),
        "When the run goes on or ends, or the gateway stops.",
        "`waits_for` in the evidence says what it waits for. Abort the run, or end the tool's process. For tools that "
        "take long, raise `tool_minutes`.",
    ),
    "tool_errors": RuleGuide(
        ("alert",),
        "When the share of failures has fallen to `ok_share`.",
        "`last_error` in the evidence says why. Repair the tool, or take it away from the agent: failures are paid "
        "for with model calls.",
    ),
    "subagent_death": RuleGuide(
        ("alert",),
        "When the run goes on after all.",
        "`error` in the evidence says why. See what the run that asked made of it: often it waits, or asks again.",
    ),
    "unpriced_model": RuleGuide(
        ("alert",),
        "With the first call that has a price.",
        "Say the price with `clawtrace prices set PROVIDER MODEL …`; until then sums, limits and budgets do not see "
        "these calls. A provider on your own machine belongs into `free_providers`.",
    ),
    "no_data": RuleGuide(
        ("no_data",),
        "With the next event of the agent.",
        "See whether the machine and the gateway of OpenClaw run, then what the plugin says: "
        "`openclaw clawtrace status`.",
    ),
    "blindness": RuleGuide(
        ("alert",),
        "When the hook comes again.",
        "Something is no longer seen, so sums may be too low. After an upgrade of OpenClaw, upgrade the plugin; see "
        "whether it still may read the conversation (`hooks.allowConversationAccess`). A hook that is gone for good "
        "belongs into `ignore_hooks`.",
    ),
    "redundant_tool_calls": RuleGuide(
        ("alert",), _NEVER, "The marked calls of the trace show what was asked twice: tell the agent to keep answers."
    ),
    "repeated_result": RuleGuide(("alert",), _NEVER, "See which call it is, and tell the agent to keep its answer."),
    "reread_file": RuleGuide(
        ("alert",), _NEVER, "See whether the file is too large for the context, or was lost to compaction."
    ),
    "tool_loop": RuleGuide(
        ("alert",),
        "When the call is answered otherwise, or something was written.",
        "Stop the run; it learns nothing more.",
    ),
    "ping_pong": RuleGuide(
        ("alert",), "When the turns end.", "Stop one of the two sides; they will not come to an end by themselves."
    ),
    "failing_variants": RuleGuide(
        ("alert",),
        "When it succeeds, or something else is tried.",
        "Repair what the command needs, or tell the agent how it is done.",
    ),
    "error_cascade": RuleGuide(
        ("alert",), "When a tool succeeds.", "Look at the first error of the row: the others mostly follow from it."
    ),
    "retry_storm": RuleGuide(
        ("alert",),
        "After some successes in a row.",
        "See whether the provider is down or a quota used up. Stop the run, or give it another model to fall back on.",
    ),
    "spawn_chain": RuleGuide(
        ("alert",),
        "At the next sub-agent, once the counts are within the limits.",
        "Stop the root of the chain; tell the agent to do the work by itself.",
    ),
}


def meaning_of(rule: object) -> str:
    """Return what a rule's module says of it in its first line."""
    first = (sys.modules[type(rule).__module__].__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    text = first.partition(": ")[2]
    return text[:1].upper() + text[1:]
