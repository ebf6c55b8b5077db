"""What halting would have changed: the money not spent after a rule fired, and the runs that it would have stopped.

Upstream: what the stitcher makes of stored events, record by record, with the rule's action set to abort, so that its
own verdicts say what each alert would have halted and until when.
Downstream: ``stream_jobs.processors.backtest``.
Guarantee: pure; a call counts at most once, for the first halt that covers it, so the dollars of the halts add up to
the whole. A call that was under way when the rule fired is paid and not saved: only calls that began after that, by
the agent's clock, are. Runs are forgotten a day after they were heard of last, unless a halt would have stopped them.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from producers.contracts.guard import GuardScope, Verdict
from stream_jobs.contracts.alert import Alert, AlertSeverity, AlertState
from stream_jobs.contracts.span import SpanKind, SpanStatus
from stream_jobs.contracts.spend import Spend

_FORGET_AFTER_US: Final = 24 * 3_600_000_000
_RUN_KINDS: Final = frozenset({"run", "compaction"})


class RunSpan(msgspec.Struct, frozen=True, kw_only=True):
    """Of a span, what tells where its run stands; decoding passes over the texts."""

    span_id: str
    kind: SpanKind
    status: SpanStatus
    trace_id: str
    started_at_us: int
    path: list[str] = []
    run_id: str | None = None
    session_key: str | None = None
    ended_at_us: int | None = None
    run_cost_usd: Decimal | None = None


class Firing(msgspec.Struct, kw_only=True):
    """One alert that would have been raised, and what halting what it covers would have saved.

    Dollars and tokens are of calls that no earlier halt had stopped. ``fired_at_us`` is the first time in the window,
    ``changed_at_us`` the last change of state; both UTC, microseconds. ``scope`` is None where the rule halts nothing.
    """

    alert_id: str
    agent_id: str
    state: AlertState
    severity: AlertSeverity
    message: str
    evidence: dict[str, str]
    trace_id: str | None
    span_id: str | None
    fired_at_us: int
    changed_at_us: int
    num_fired: int = 0
    scope: GuardScope | None = None
    scope_id: str = ""
    saved_usd: Decimal = Decimal(0)
    saved_tokens: int = 0
    num_calls_saved: int = 0
    num_runs_stopped: int = 0


class StoppedRun(msgspec.Struct, kw_only=True):
    """A run that would have been stopped; ``spent_after_usd`` is what it spent after that."""

    alert_id: str
    agent_id: str
    run_id: str
    trace_id: str
    span_id: str
    session_key: str
    status: SpanStatus
    started_at_us: int
    ended_at_us: int | None
    cost_usd: Decimal | None
    spent_after_usd: Decimal = Decimal(0)
    num_calls_after: int = 0


class _Halt:
    """One verdict: what it covers, and between which instants of the agent's clock."""

    def __init__(self, number: int, firing: Firing, verdict: Verdict, since_us: int, until_us: int | None) -> None:
        self.number, self.firing = number, firing
        self.scope, self.scope_id = verdict.scope, verdict.scope_id
        self.since_us, self.until_us = since_us, until_us

    def covers(self, at_us: int) -> bool:
        return at_us > self.since_us and (self.until_us is None or at_us <= self.until_us)


class _Run:
    """Where a run stands."""

    __slots__ = ("heard_us", "span")

    def __init__(self, span: RunSpan, heard_us: int) -> None:
        self.span, self.heard_us = span, heard_us


class HaltLedger:
    """Takes what each record led to, in order."""

    def __init__(self, rule: str, since_us: int) -> None:
        """Begin.

        Args:
            rule: whose alerts count.
            since_us: start of the window (UTC, microseconds); what fires before only settles what stands.
        """
        self._rule, self._since_us = rule, since_us
        self._firings: dict[tuple[str, str], Firing] = {}
        self._newest: dict[tuple[str, str], Alert] = {}
        self._halts: dict[tuple[str, GuardScope, str], list[_Halt]] = defaultdict(list)
        self._num_halts = 0
        # By agent and span id of the run; the least recently heard of first.
        self._runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()
        self._span_of_run: dict[tuple[str, str], str] = {}
        self._stopped: dict[tuple[str, str], StoppedRun] = {}
        self._saved_calls: set[tuple[str, str]] = set()

    def take_spans(self, agent_id: str, spans: Iterable[RunSpan], heard_us: int) -> None:
        """Learn where runs stand; ``heard_us`` is the server's clock."""
        for span in spans:
            if span.kind not in _RUN_KINDS or not span.run_id:
                continue
            self._runs[agent_id, span.span_id] = _Run(span, heard_us)
            self._runs.move_to_end((agent_id, span.span_id))
            self._span_of_run[agent_id, span.run_id] = span.span_id
            stopped = self._stopped.get((agent_id, span.run_id))
            if stopped is not None:
                stopped.trace_id, stopped.span_id = span.trace_id, span.span_id
                stopped.status, stopped.ended_at_us = span.status, span.ended_at_us
                stopped.cost_usd = span.run_cost_usd
        self._forget(heard_us)

    def take_alerts(
        self, agent_id: str, alerts: Iterable[Alert], verdicts: Iterable[Verdict], agent_clock_us: int
    ) -> None:
        """Learn what fired.

        Args:
            agent_clock_us: newest instant that the agent has told of, by its own clock: a tick's instant is the
                server's, and calls are dated by the agent.
        """
        said = {verdict.alert_id: verdict for verdict in verdicts if verdict.alert_id}
        for alert in alerts:
            if alert.rule != self._rule:
                continue
            key = agent_id, alert.alert_id
            before, self._newest[key] = self._newest.get(key), alert
            firing = self._firings.get(key)
            if firing is not None:
                firing.state, firing.changed_at_us = alert.state, alert.at_us
            if alert.state == "ok" or alert.at_us < self._since_us:
                continue
            if firing is None:
                firing = self._firings[key] = _firing_of(alert)
            # From a warning to an alert is once.
            firing.num_fired += before is None or before.state == "ok" or not firing.num_fired
            firing.severity, firing.message, firing.evidence = alert.severity, alert.message, alert.evidence
            verdict = said.get(alert.alert_id)
            if verdict is not None and alert.state == "alert":
                self._halt(agent_id, firing, verdict, alert, agent_clock_us)

    def take_spends(self, agent_id: str, spends: Iterable[Spend]) -> None:
        """Take what calls have cost, each difference once."""
        for spend in spends:
            halt = self._halt_over(agent_id, spend)
            if halt is None:
                continue
            firing = halt.firing
            firing.saved_usd += spend.cost_usd
            firing.saved_tokens += spend.num_tokens
            stopped = self._stop(agent_id, firing, spend)
            stopped.spent_after_usd += spend.cost_usd
            if (agent_id, spend.span_id) not in self._saved_calls:
                # A price that is corrected later is no second call.
                self._saved_calls.add((agent_id, spend.span_id))
                firing.num_calls_saved += 1
                stopped.num_calls_after += 1

    @property
    def firings(self) -> list[Firing]:
        """What fired in the window, the earliest first."""
        return sorted(self._firings.values(), key=lambda it: (it.fired_at_us, it.agent_id, it.alert_id))

    @property
    def newest(self) -> list[Alert]:
        """The newest state of every alert of the rule that changed in the window, by agent and id."""
        found = [it for it in self._newest.values() if it.at_us >= self._since_us]
        return sorted(found, key=lambda it: (it.agent_id, it.alert_id))

    @property
    def stopped_runs(self) -> list[StoppedRun]:
        """Runs of which at least one model call would not have been made, the most spent after it first."""
        return sorted(self._stopped.values(), key=lambda it: (-it.spent_after_usd, it.agent_id, it.run_id))

    def _halt(self, agent_id: str, firing: Firing, verdict: Verdict, alert: Alert, agent_clock_us: int) -> None:
        # Of an alert that an event raised, the instant is the agent's already.
        since_us = min(alert.at_us, agent_clock_us)
        # A run that was stopped does not go on when the word lapses.
        until_us = None if verdict.scope == "run" else since_us + verdict.expires_at_us - alert.at_us
        self._num_halts += 1
        firing.scope, firing.scope_id = verdict.scope, verdict.scope_id
        halt = _Halt(self._num_halts, firing, verdict, since_us, until_us)
        self._halts[agent_id, verdict.scope, verdict.scope_id].append(halt)

    def _halt_over(self, agent_id: str, spend: Spend) -> _Halt | None:
        """The first halt that covers a call: of its run or a run above, of their sessions, or of the agent."""
        if not self._halts:
            return None
        places = self._places_of(agent_id, spend)
        covering = (it for place in places for it in self._halts.get(place, ()) if it.covers(spend.at_us))
        return min(covering, key=lambda it: it.number, default=None)

    def _places_of(self, agent_id: str, spend: Spend) -> Iterator[tuple[str, GuardScope, str]]:
        yield agent_id, "agent", agent_id
        yield agent_id, "run", spend.run_id
        yield agent_id, "session", spend.session_key
        own = self._runs.get((agent_id, self._span_of_run.get((agent_id, spend.run_id), "")))
        for span_id in own.span.path if own is not None else ():
            above = self._runs.get((agent_id, span_id))
            if above is not None:
                yield agent_id, "run", above.span.run_id or ""
                yield agent_id, "session", above.span.session_key or ""

    def _stop(self, agent_id: str, firing: Firing, spend: Spend) -> StoppedRun:
        found = self._stopped.get((agent_id, spend.run_id))
        if found is None:
            run = self._runs.get((agent_id, self._span_of_run.get((agent_id, spend.run_id), "")))
            span = run.span if run is not None else None
            found = self._stopped[agent_id, spend.run_id] = StoppedRun(
                alert_id=firing.alert_id,
                agent_id=agent_id,
                run_id=spend.run_id,
                trace_id=span.trace_id if span is not None else spend.trace_id,
                span_id=span.span_id if span is not None else "",
                session_key=spend.session_key,
                status=span.status if span is not None else "running",
                started_at_us=span.started_at_us if span is not None else spend.at_us,
                ended_at_us=span.ended_at_us if span is not None else None,
                cost_usd=span.run_cost_usd if span is not None else None,
            )
            firing.num_runs_stopped += 1
        return found

    def _forget(self, now_us: int) -> None:
        while self._runs:
            key, run = next(iter(self._runs.items()))
            if run.heard_us > now_us - _FORGET_AFTER_US:
                return
            del self._runs[key]
            self._span_of_run.pop((key[0], run.span.run_id or ""), None)


def _firing_of(alert: Alert) -> Firing:
    return Firing(
        alert_id=alert.alert_id,
        agent_id=alert.agent_id,
        state=alert.state,
        severity=alert.severity,
        message=alert.message,
        evidence=alert.evidence,
        trace_id=alert.trace_id,
        span_id=alert.span_id,
        fired_at_us=alert.at_us,
        changed_at_us=alert.at_us,
    )
