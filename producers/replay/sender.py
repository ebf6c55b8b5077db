"""Sends captures to a gateway, as the plugin would.

Upstream: ``producers.replay.capture``.
Downstream: the real gateway, over HTTP.
Guarantee: batches go one after the other and each again until it is acknowledged or refused for good, so an agent's
events arrive in order and none is lost; sending a file twice sends the same ids.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from producers.contracts.wire import IngestReceipt, RejectedEvent, WireEvent
from producers.replay.capture import Capture, read_capture, wire_batches

EVENTS_PATH: Final = "/v1/events"
RETRY_STATUSES: Final = frozenset({429, 502, 503, 504})
DEFAULT_RETRY_AFTER_S: Final = 1.0
MAX_RETRY_AFTER_S: Final = 30.0
DEFAULT_GIVE_UP_AFTER_S: Final = 60.0


class ReplayFailed(Exception):
    """The gateway refused a batch for good, or could not be reached in time; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What came of one capture."""

    path: Path
    spool_id: str
    num_events: int
    num_accepted: int
    num_batches: int
    num_retries: int
    num_skipped: int
    elapsed_s: float
    first_ack_at_us: int
    last_ack_at_us: int
    rejected: list[RejectedEvent] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast to send, and when to give up. ``speed`` 0 sends at once, 1 as it was captured, 2 twice as fast."""

    speed: float = 0.0
    give_up_after_s: float = DEFAULT_GIVE_UP_AFTER_S
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def replay_capture(
    path: Path,
    agent_events_path: Path | None,
    client: httpx2.Client,
    *,
    key: str,
    pacing: Pacing | None = None,
    shift_us: int = 0,
    batch_events: int = 200,
    on_batch: Callable[[int], None] | None = None,
) -> ReplayReport:
    """Send one capture; ``client`` has the gateway as its base_url; ``on_batch`` hears how many events were sent.

    Raises:
        ReplayFailed: the gateway refused, or stayed away.
        UnreadableCapture: a line of a file is no captured event.
        OSError: a file cannot be read.
    """
    return send_capture(
        read_capture(path, agent_events_path, shift_us=shift_us),
        client,
        key=key,
        pacing=pacing,
        batch_events=batch_events,
        on_batch=on_batch,
    )


def send_capture(
    capture: Capture,
    client: httpx2.Client,
    *,
    key: str,
    pacing: Pacing | None = None,
    batch_events: int = 200,
    on_batch: Callable[[int], None] | None = None,
) -> ReplayReport:
    """Send a capture that was read already.

    Raises:
        ReplayFailed: the gateway refused, or stayed away.
    """
    pacing = pacing or Pacing()
    started_s = pacing.clock()
    rejected: list[RejectedEvent] = []
    num_accepted = num_batches = num_retries = num_sent = first_ack_at_us = 0
    # In real time each event leaves alone, when its turn comes.
    for body, events in wire_batches(capture, 1 if pacing.speed else batch_events):
        _wait_for_turn(pacing, started_s, capture, events[0])
        receipt, retries = _send(client, body, key, pacing)
        first_ack_at_us = first_ack_at_us or _now_us()
        num_accepted += receipt.accepted
        num_retries += retries
        num_batches += 1
        rejected += [msgspec.structs.replace(item, index=item.index + num_sent) for item in receipt.rejected]
        num_sent += len(events)
        if on_batch:
            on_batch(len(events))
    return ReplayReport(
        path=capture.path,
        spool_id=capture.spool_id,
        num_events=len(capture.events),
        num_accepted=num_accepted,
        num_batches=num_batches,
        num_retries=num_retries,
        num_skipped=capture.num_skipped,
        elapsed_s=pacing.clock() - started_s,
        first_ack_at_us=first_ack_at_us,
        last_ack_at_us=_now_us(),
        rejected=rejected,
    )


def _now_us() -> int:
    return time.time_ns() // 1000


def _wait_for_turn(pacing: Pacing, started_s: float, capture: Capture, event: WireEvent) -> None:
    if not pacing.speed:
        return
    due_s = started_s + (event.at_us - capture.events[0].at_us) / 1_000_000 / pacing.speed
    if (wait_s := due_s - pacing.clock()) > 0:
        pacing.sleep(wait_s)


def _send(client: httpx2.Client, body: bytes, key: str, pacing: Pacing) -> tuple[IngestReceipt, int]:
    """Send one batch until it is taken; return the receipt and the number of retries."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    give_up_at_s = pacing.clock() + pacing.give_up_after_s
    retries = 0
    while True:
        try:
            answer = client.post(EVENTS_PATH, content=body, headers=headers)
        except httpx2.TransportError as error:
            reason = f"the gateway at {client.base_url} does not answer ({error}); is the stack running? (make up)"
            wait_s = DEFAULT_RETRY_AFTER_S
        else:
            if answer.status_code == 202:
                return msgspec.json.decode(answer.content, type=IngestReceipt), retries
            reason = f"the gateway answered {answer.status_code}: {_detail(answer)}"
            if answer.status_code not in RETRY_STATUSES:
                raise ReplayFailed(reason)
            wait_s = _retry_after_s(answer)
        if pacing.clock() + wait_s > give_up_at_s:
            raise ReplayFailed(reason)
        retries += 1
        pacing.sleep(wait_s)


def _retry_after_s(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), MAX_RETRY_AFTER_S) if text.isdigit() else DEFAULT_RETRY_AFTER_S


def _detail(answer: httpx2.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(body.get("detail", body))[:500] if isinstance(body, dict) else str(body)[:200]
