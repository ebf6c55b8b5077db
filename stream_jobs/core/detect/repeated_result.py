"""Rule ``repeated_result``: a trace was given again, at a price, what it had been given before.

Upstream: calls that have ended.
Downstream: alerts.
Guarantee: counts only the same call with the same answer, with nothing written in between, and not waiting; fires
once a trace. Memory: the 128 calls made last by a trace.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import WRITE_TOOLS, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

BYTES_PER_TOKEN = 4

_MAX_ANSWERS = 128


class RepeatedResultSettings(RuleSettings):
    """How much of the same is too much."""

    max_repeats: Annotated[int, Field(gt=0, description="Answers that were given again, in a trace.")] = 5
    max_repeated_tokens: Annotated[
        int, Field(gt=0, description="And tokens in them, reckoned as a quarter of their bytes.")
    ] = 20_000


class _Answer(msgspec.Struct, array_like=True):
    asked: str
    answered: str
    num_writes: int


class _Answers(msgspec.Struct, array_like=True):
    answers: list[_Answer] = []
    num_writes: int = 0
    num_repeats: int = 0
    num_tokens: int = 0
    is_alert: bool = False


class RepeatedResult:
    """Paid again for what was known."""

    name: ClassVar[AlertRule] = "repeated_result"
    settings_type: ClassVar[type[RuleSettings]] = RepeatedResultSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Add up what came again."""
        settings = ws.settings(self.name, RepeatedResultSettings)
        view = view_of(ws, fact) if settings.enabled else None
        if view is None or view.is_wait:
            return
        memory_name = f"{self.name}|{view.tool.trace_id or view.run.run_id}"
        memory = ws.memory(memory_name, _Answers)
        ws.change_memory(memory_name)
        known = next((it for it in memory.answers if it.asked == view.asked), None)
        is_repeat = known is not None and known.answered == view.answered and known.num_writes == memory.num_writes
        memory.num_writes += view.tool.tool_name in WRITE_TOOLS
        answer = _Answer(view.asked, view.answered, memory.num_writes)
        memory.answers = [*(it for it in memory.answers if it is not known), answer][-_MAX_ANSWERS:]
        if not is_repeat or view.is_failed:
            return
        memory.num_repeats += 1
        memory.num_tokens += view.num_answer_bytes // BYTES_PER_TOKEN
        if memory.is_alert or memory.num_repeats < settings.max_repeats:
            return
        if memory.num_tokens < settings.max_repeated_tokens:
            return
        memory.is_alert = True
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            state="alert",
            message=f"{memory.num_repeats} tool results, about {memory.num_tokens} tokens, had been given before.",
            at_us=fact.at_us,
            evidence={
                "num_repeats": memory.num_repeats,
                "limit": settings.max_repeats,
                "num_tokens_estimated": memory.num_tokens,
                "limit_tokens": settings.max_repeated_tokens,
            },
        )
