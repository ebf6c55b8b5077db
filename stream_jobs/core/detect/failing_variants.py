"""Rule ``failing_variants``: a run tries one failing command in ever new variants.

Upstream: calls that have ended.
Downstream: alerts.
Guarantee: counts failures in a row of the same program (or tool), each similar to the one before; a success of it, or
something new written, starts from none; an exit code that only answers "no" (grep, diff, test) is no failure.
Memory: the 32 programs run last by a run.
"""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.tool_view import ToolView, set_call_alert, view_of
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.redundancy.levenshtein import is_similar
from stream_jobs.core.redundancy.normalise import units_of
from stream_jobs.core.workspace import Workspace

_MAX_HEADS = 32
_MAX_VARIANTS = 64


class FailingVariantsSettings(RuleSettings):
    """How many attempts are too many."""

    max_failures: Annotated[int, Field(gt=1, description="Failures in a row of one program, in a run.")] = 8
    min_variants: Annotated[int, Field(gt=0, le=64, description="Different ones among them.")] = 3
    min_percent: Annotated[
        int, Field(ge=0, le=100, description="Similarity of one attempt to the one before, in percent.")
    ] = 40


class _Head(msgspec.Struct, array_like=True):
    tool_name: str
    head: str
    text: str = ""
    variants: list[str] = []
    num_failures: int = 0
    writes_before: int = 0
    is_alert: bool = False


class _Heads(msgspec.Struct, array_like=True):
    heads: list[_Head] = []


class FailingVariants:
    """Variants of what fails."""

    name: ClassVar[AlertRule] = "failing_variants"
    settings_type: ClassVar[type[RuleSettings]] = FailingVariantsSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"tool_ended"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count failures of the program."""
        settings = ws.settings(self.name, FailingVariantsSettings)
        view = view_of(ws, fact) if settings.enabled else None
        if view is None or view.is_answering:
            return
        memory_name = f"{self.name}|{view.run.run_id}"
        memory = ws.memory(memory_name, _Heads)
        key = (view.tool.tool_name, view.head)
        found = next((it for it in memory.heads if (it.tool_name, it.head) == key), None)
        if found is None and not view.is_failed:
            return
        head = found or _Head(*key)
        ws.change_memory(memory_name)
        memory.heads = [*(it for it in memory.heads if it is not found), head][-_MAX_HEADS:]
        text = units_of(view.asked_text)
        goes_on = (
            view.is_failed
            and head.writes_before == view.num_new_writes
            and bool(head.text)
            and is_similar(head.text, text, settings.min_percent)
        )
        if not goes_on:
            head.num_failures, head.variants = 0, []
        if view.is_failed:
            head.num_failures += 1
            head.text, head.writes_before = text, view.num_new_writes
            if view.asked not in head.variants:
                head.variants = [*head.variants, view.asked][-_MAX_VARIANTS:]
        is_alert = head.num_failures >= settings.max_failures and len(head.variants) >= settings.min_variants
        if is_alert != head.is_alert:
            head.is_alert = is_alert
            self._tell(ws, settings, fact, view, head)

    def _tell(self, ws: Workspace, settings: FailingVariantsSettings, fact: Fact, view: ToolView, head: _Head) -> None:
        set_call_alert(
            ws,
            settings,
            self.name,
            view,
            about=f"{head.tool_name}|{head.head}",
            state="alert" if head.is_alert else "ok",
            message=f"{head.head} has failed {head.num_failures} times in a row, in {len(head.variants)} variants."
            if head.is_alert
            else f"{head.head} no longer fails in a row.",
            at_us=fact.at_us,
            labels={"program": head.head},
            evidence={
                "num_failures": head.num_failures,
                "num_variants": len(head.variants),
                "limit": settings.max_failures,
                "exit_code": view.tool.exit_code,
                "error": view.tool.error[:200],
            },
        )
