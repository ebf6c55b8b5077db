"""Asks the model for patches, and lets it mend once what is refused.

Upstream: api/learn/distiller.py.
Downstream: api/tracy/model.py; api/learn/costcraft judges what comes.
Guarantee: at most two calls of the model, within the budget of one question to Tracy; what it says besides patches goes
nowhere.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from api.kit.instants import now_us
from api.learn.costcraft.patches import Patch, Refused, describe, parse_patches
from api.learn.prompt import PROPOSE_TOOL, refusals_text, system_prompt, tool_definitions
from api.tracy.answer import Step
from api.tracy.budget import Budget
from api.tracy.model import Model, ModelFailed, Reply, ToolCall
from api.tracy.prompt import with_cache_mark
from api.tracy.settings import TracySettings

_MAX_ROUNDS: Final = 2

# Which of the patches hold together, and why the others do not.
Judge = Callable[[list[Patch]], Awaitable[tuple[list[Patch], list[Refused]]]]


@dataclass(slots=True)
class Proposal:
    """What came of asking. ``patches`` are all that were proposed, ``refused`` what was no patch at all."""

    patches: list[Patch] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    num_tokens: int = 0
    cost_usd: Decimal | None = None
    num_mended: int = 0


async def propose(
    settings: TracySettings, model: Model, message: dict[str, Any], judge: Judge, proposal: Proposal
) -> None:
    """Ask, and fill in the proposal as answers come.

    Raises:
        ModelFailed: it gave no answer; what the proposal holds by then stays.
    """
    budget = Budget(settings)
    messages = [message]
    for number in range(_MAX_ROUNDS):
        if (reason := budget.why_no_call(len(str(messages)))) is not None:
            raise ModelFailed("budget", f"The runs are too much for one question: {reason}.")
        reply = await _ask(settings, model, messages, proposal)
        budget.add(reply.use)
        proposal.num_tokens, proposal.cost_usd = budget.use.total, budget.cost_usd
        call = next((it for it in reply.tool_calls if it.name == PROPOSE_TOOL), None)
        if call is None:
            return
        began_at_us = now_us()
        taken, refused = await _judge(call, judge, proposal)
        proposal.steps.append(_tool_step(call, began_at_us, is_error=bool(refused)))
        if not refused or number + 1 == _MAX_ROUNDS:
            return
        proposal.num_mended = len(refused)
        results = [_result(it, refusals_text(taken, refused), it is call) for it in reply.tool_calls]
        messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]


async def _judge(call: ToolCall, judge: Judge, proposal: Proposal) -> tuple[list[Patch], list[Refused]]:
    """Add what was proposed; return what of all this holds, and what is refused of this call."""
    asked = call.arguments.get("patches") if call.arguments is not None else None
    new, malformed = parse_patches(asked)
    fresh = [patch for patch in new if patch not in proposal.patches]
    proposal.patches += fresh
    # What was refused before stays in the list: a person sees all that was tried.
    proposal.refused += malformed
    taken, refused = await judge(proposal.patches)
    said = {describe(patch) for patch in new}
    return taken, [*malformed, *(it for it in refused if it.what in said)]


async def _ask(settings: TracySettings, model: Model, messages: list[dict[str, Any]], proposal: Proposal) -> Reply:
    reply: Reply | None = None
    began_at_us = now_us()
    async for part in model.ask(system_prompt(), tool_definitions(), with_cache_mark(messages)):
        if isinstance(part, Reply):
            reply = part
    assert reply is not None, "a call ends with a reply or raises"
    proposal.steps.append(Step("model", settings.tracy_model, began_at_us, now_us(), reply.use))
    return reply


def _tool_step(call: ToolCall, began_at_us: int, *, is_error: bool) -> Step:
    return Step("tool", PROPOSE_TOOL, began_at_us, now_us(), tool_use_id=call.tool_use_id, is_error=is_error)


def _result(call: ToolCall, text: str, is_judged: bool) -> dict[str, Any]:
    said = text if is_judged else "one call at a time"
    return {
        "type": "tool_result",
        "tool_use_id": call.tool_use_id,
        "content": [{"type": "text", "text": said}],
        "is_error": True,
    }
