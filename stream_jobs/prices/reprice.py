"""Prices history again: says what would change, and asks the stitcher for it through the gateway.

Upstream: ``clawtrace prices reprice``; ``stream_jobs.prices.history``.
Downstream: events ``reprice`` of the agent, at the gateway like any other.
Guarantee: nothing is sent without --apply; a request that was not acknowledged is sent again under the same ids, so
it counts once.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final

import httpx2

from producers.contracts.reprice import HOOK, MAX_SPANS
from stream_jobs.prices.history import Change

EVENTS_PATH: Final = "/v1/events"
RETRY_STATUSES: Final = frozenset({429, 502, 503, 504})
GIVE_UP_AFTER_S: Final = 60.0
RETRY_AFTER_S: Final = 1.0


class NotSent(Exception):
    """The gateway did not take the requests; the text says why and what to do."""


@dataclass(slots=True)
class ModelSums:
    """What changes for one model."""

    num_calls: int = 0
    num_were_unpriced: int = 0
    num_get_unpriced: int = 0
    was_usd: Decimal = Decimal(0)
    now_usd: Decimal = Decimal(0)


def sums_by_model(changes: Sequence[Change]) -> dict[str, ModelSums]:
    """Add the changes up, by model; what is unknown adds nothing and is counted."""
    sums: dict[str, ModelSums] = {}
    for change in changes:
        add_change(sums, change)
    return dict(sorted(sums.items()))


def add_change(sums: dict[str, ModelSums], change: Change) -> None:
    """Add one change to the sums of its model."""
    of_model = sums.setdefault(change.model, ModelSums())
    of_model.num_calls += 1
    of_model.num_were_unpriced += change.was_usd is None
    of_model.num_get_unpriced += change.now_usd is None
    of_model.was_usd += change.was_usd or 0
    of_model.now_usd += change.now_usd or 0


def report_of(changes: Sequence[Change]) -> dict[str, Any]:
    """What would change, for programs: dollars as text."""
    by_model = sums_by_model(changes)
    return {
        "calls": len(changes),
        "agents": sorted({change.agent_id for change in changes}),
        "was_usd": _usd(sum((it.was_usd for it in by_model.values()), Decimal(0))),
        "now_usd": _usd(sum((it.now_usd for it in by_model.values()), Decimal(0))),
        "models": [
            {
                "model": model,
                "calls": it.num_calls,
                "were_unpriced": it.num_were_unpriced,
                "get_unpriced": it.num_get_unpriced,
                "was_usd": _usd(it.was_usd),
                "now_usd": _usd(it.now_usd),
            }
            for model, it in by_model.items()
        ],
    }


def in_words(report: dict[str, Any]) -> str:
    """What would change, for people."""
    if not report["calls"]:
        return "every call of this period has today's price; nothing to do"
    lines = [
        f"{it['model']}: {it['calls']} calls, ${it['was_usd']} -> ${it['now_usd']}"
        + (f", {it['were_unpriced']} had no price" if it["were_unpriced"] else "")
        + (f", {it['get_unpriced']} lose theirs" if it["get_unpriced"] else "")
        for it in report["models"]
    ]
    total = f"{report['calls']} calls of {', '.join(report['agents'])}: ${report['was_usd']} -> ${report['now_usd']}"
    return "\n".join([*lines, total])


def request_bodies(changes: Sequence[Change], spool_id: str, reason: str, at_us: int) -> Iterator[dict[str, Any]]:
    """Make the gateway's requests, one event each, numbered within a spool of their own."""
    for seq, start in enumerate(range(0, len(changes), MAX_SPANS)):
        spans = [{"span_id": it.span_id, "price_id": it.price_id} for it in changes[start : start + MAX_SPANS]]
        yield {
            "schema_version": 1,
            "source": {"name": "clawtrace-prices", "version": version("clawtrace")},
            "spool_id": spool_id,
            "events": [{"seq": seq, "at_us": at_us, "hook": HOOK, "event": {"spans": spans, "reason": reason}}],
        }


def send_changes(
    client: httpx2.Client,
    key: str,
    changes: Sequence[Change],
    reason: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Ask for all of it; return the number of requests; ``client`` has the gateway as its base_url.

    Raises:
        NotSent: the gateway refused, or stayed away; what was sent before counts, and may be asked for again.
    """
    num_sent = 0
    for body in request_bodies(changes, str(uuid.uuid4()), reason, time.time_ns() // 1000):
        give_up_at_s = clock() + GIVE_UP_AFTER_S
        while (problem := _send(client, key, body)) is not None:
            if clock() >= give_up_at_s:
                raise NotSent(f"{problem}; gave up after {GIVE_UP_AFTER_S:.0f} s, try again later")
            sleep(RETRY_AFTER_S)
        num_sent += 1
    return num_sent


def _send(client: httpx2.Client, key: str, body: dict[str, Any]) -> str | None:
    """Send one request; return None when it is taken, or what stands in the way for now."""
    try:
        answer = client.post(EVENTS_PATH, json=body, headers={"Authorization": f"Bearer {key}"})
    except httpx2.TransportError as error:
        return f"the gateway at {client.base_url} does not answer ({error})"
    if answer.status_code in RETRY_STATUSES:
        return f"the gateway answered {answer.status_code}"
    if answer.status_code != httpx2.codes.ACCEPTED:
        raise NotSent(f"the gateway answered {answer.status_code}: {answer.text[:300]}")
    rejected = answer.json()["rejected"]
    if rejected:
        raise NotSent(f"the gateway refused the request: {rejected[0]['error']}")
    return None


def _usd(amount: Decimal) -> str:
    return f"{amount:.6f}"
