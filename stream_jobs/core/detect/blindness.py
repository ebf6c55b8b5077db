"""Rule ``blindness``: hooks that should come do not, so that spans, tokens or stops are missing.

Upstream: facts ``event``, ``run_started``, ``call_ended``, ``call_usage``; the host's version of each batch.
Downstream: alerts.
Guarantee: a hook is measured against another that must go with it, never against time, so a quiet agent is not a
blind one. What came never (a permission that was not given) is not missed, save the two things that always come: the
end of a tool call and the tokens of an answered model call. While a hook is missing nothing is learned; ok again when
it is back.
"""

from typing import Annotated, ClassVar, Final, NamedTuple

import msgspec
from pydantic import Field

from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.alerting import set_alert
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.state import CallState, is_compaction
from stream_jobs.core.workspace import Workspace

# No hooks of OpenClaw, but what is counted in the same way.
RUN, ANSWER, USAGE = "run", "answered model call", "usage"


class Pair(NamedTuple):
    """A hook, what it is counted against, and how often it comes by rights (0: as is learned)."""

    hook: str
    anchor: str
    rate: float = 0.0


PAIRS: Final = (
    Pair("after_tool_call", "before_tool_call", 1.0),
    Pair(USAGE, ANSWER, 1.0),
    Pair("before_tool_call", "after_tool_call"),
    Pair("tool_result_persist", "after_tool_call"),
    Pair("model_call_started", "model_call_ended"),
    Pair("model_call_ended", "model_call_started"),
    Pair("before_message_write", "model_call_ended"),
    Pair("model_call_ended", "llm_input"),
    Pair("llm_output", "llm_input"),
    Pair("agent_end", "llm_input"),
    Pair("llm_input", RUN),
    Pair("agent_event", RUN),
)
# By what is counted: the pairs it belongs to, the names of these pairs, and whether it is their anchor.
_BY_NAME: Final = {
    name: tuple(
        (pair, f"{pair.hook} per {pair.anchor}", name == pair.anchor)
        for pair in PAIRS
        if name in (pair.hook, pair.anchor)
    )
    for name in {name for pair in PAIRS for name in (pair.hook, pair.anchor)}
}
# A hook that comes more seldom than this is not waited for.
_LEAST_RATE = 0.2
_MAX_WEIGHT = 20


class BlindnessSettings(RuleSettings):
    """How much may be missing."""

    min_expected: Annotated[int, Field(ge=5, description="Hooks that should have come before the rule judges.")] = 20
    lost_share: Annotated[float, Field(gt=0, le=1, description="Share of them that is missing when it fires.")] = 0.8
    ignore_hooks: Annotated[tuple[str, ...], Field(description="Hooks that are not waited for.")] = ()


class Watch(msgspec.Struct, array_like=True):
    """One pair: what was counted since it was last judged, and what is usual."""

    num_anchors: int = 0
    num_found: int = 0
    rate: float = 0.0
    weight: int = 0
    # Of the last window that was as usual, and of the one that is being counted.
    usual_version: str = ""
    host_version: str = ""
    is_raised: bool = False


class Watches(msgspec.Struct, array_like=True):
    """All pairs, by the text of their names: their order may change from one release to the next."""

    pairs: dict[str, Watch] = {}


class Blindness:
    """A hook no longer comes."""

    name: ClassVar[AlertRule] = "blindness"
    settings_type: ClassVar[type[RuleSettings]] = BlindnessSettings
    wants: ClassVar[frozenset[FactKind]] = frozenset({"event", "run_started", "call_ended", "call_usage"})

    def look(self, ws: Workspace, fact: Fact) -> None:
        """Count a hook, and judge what was counted."""
        pairs = _BY_NAME.get(fact.ref if fact.kind == "event" else _counted(ws, fact))
        if pairs is None:
            return
        settings = ws.settings(self.name, BlindnessSettings)
        if not settings.enabled:
            return
        memory = ws.memory(self.name, Watches)
        for pair, name, is_anchor in pairs:
            watch = memory.pairs.get(name)
            if watch is None:
                watch = memory.pairs[name] = Watch()
            if is_anchor:
                # Judged before this one is counted: what belongs to the last one has come by now. No rate is above 1.
                if watch.num_anchors >= settings.min_expected:
                    self._judge(ws, settings, fact, pair, watch)
                if not watch.num_anchors:
                    watch.host_version = ws.host_version
                watch.num_anchors += 1
            else:
                watch.num_found += 1
        ws.change_memory(self.name)

    def _judge(self, ws: Workspace, settings: BlindnessSettings, fact: Fact, pair: Pair, watch: Watch) -> None:
        usual = watch.rate if watch.weight else pair.rate
        is_watched = usual >= _LEAST_RATE
        expected = watch.num_anchors * (usual if is_watched else 1.0)
        if expected < settings.min_expected:
            return
        num_anchors, num_found = watch.num_anchors, watch.num_found
        watch.num_anchors = watch.num_found = 0
        is_lost = is_watched and num_found <= (1 - settings.lost_share) * expected
        before_version = watch.usual_version
        if not is_lost:
            watch.weight = min(watch.weight + 1, _MAX_WEIGHT)
            # More than one each is as good as one: else few anchors, by chance with few hooks, would decide.
            watch.rate += (min(num_found / num_anchors, 1.0) - watch.rate) / watch.weight
            watch.usual_version = watch.host_version
        if is_lost == watch.is_raised or (is_lost and pair.hook in settings.ignore_hooks):
            return
        watch.is_raised = is_lost
        now = f" since OpenClaw {ws.host_version}" if ws.host_version and ws.host_version != before_version else ""
        set_alert(
            ws,
            settings,
            self.name,
            scope="agent",
            scope_id=ws.agent_id,
            about=f"{pair.hook} per {pair.anchor}",
            state="alert" if is_lost else "ok",
            message=f"{pair.hook} no longer comes{now}: {num_found} for the last {num_anchors} of {pair.anchor}, "
            f"where {usual * num_anchors:.0f} are usual."
            if is_lost
            else f"{pair.hook} comes again: {num_found} for the last {num_anchors} of {pair.anchor}.",
            at_us=fact.at_us,
            labels={"hook": pair.hook, "host_version": ws.host_version},
            evidence={
                "hook": pair.hook,
                "counted_per": pair.anchor,
                "rate_before": f"{usual:.3f}",
                "rate_now": f"{num_found / num_anchors:.3f}",
                "num_found": num_found,
                "num_expected": round(expected),
                "host_version": ws.host_version,
                "host_version_before": before_version,
            },
        )


def _counted(ws: Workspace, fact: Fact) -> str:
    if fact.kind == "run_started":
        return RUN
    call = ws.find_node(fact.ref)
    if not isinstance(call, CallState) or is_compaction(call.run_id):
        return ""
    if fact.kind == "call_ended":
        return "" if call.is_failed else ANSWER
    # A difference that is the whole is the first word on a call.
    return USAGE if fact.usage == call.usage else ""
