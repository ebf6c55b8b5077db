"""Kill the gateway between taking a request and answering it; whoever sends again loses nothing."""

import signal
import uuid
from collections.abc import Callable

import httpx2
import pytest
from sqlalchemy import Engine

from infra.runtime.fail_points import POINTS
from infra.runtime.settings import StackSettings
from tests.integration.producers.conftest import running_gateway, wait_for
from tests.integration.producers.test_gateway import body_of, event, headers

pytestmark = [pytest.mark.stack, pytest.mark.kafka]

PLACES = [point for point in POINTS if point.startswith("gateway.")]
NUM_BATCHES = 5


@pytest.mark.parametrize("place", PLACES)
def test_killed_before_its_answer_it_loses_nothing(
    broker_and_database: StackSettings, engine: Engine, new_key: Callable[..., tuple[str, str]], place: str
) -> None:
    key, _ = new_key("failpoint")
    spool_id = str(uuid.uuid4())
    bodies = [
        body_of([event(seq) for seq in range(first, first + 3)], spool_id) for first in range(0, NUM_BATCHES * 3, 3)
    ]
    acknowledged = 0

    def send(url: str) -> bool:
        """Send what is not acknowledged yet; whether all is."""
        nonlocal acknowledged
        for body in bodies[acknowledged:]:
            try:
                answer = httpx2.post(f"{url}/v1/events", json=body, headers=headers(key), trust_env=False, timeout=30)
            except httpx2.TransportError:
                return False
            if answer.status_code == 202:
                acknowledged += 1
        return acknowledged == NUM_BATCHES

    with running_gateway(broker_and_database, variables={"CLAWTRACE_FAIL_POINT": f"{place}:3"}) as doomed:
        assert not send(doomed.url)
        assert doomed.process.wait(30) == -signal.SIGKILL
        assert acknowledged == 2
        stored = [one.seq for batch in doomed.topic.batches() for one in batch.events]
        # What was acknowledged is there; what died with the gateway may be, and after the broker's word it is.
        num_sure = 3 if place == "gateway.acknowledged" else 2
        assert stored[: num_sure * 3] == list(range(num_sure * 3))
        assert len(stored) <= 9
        again = {"CLAWTRACE_GATEWAY_EVENTS_TOPIC": doomed.topic.spec.name}
        with running_gateway(broker_and_database, with_topic=False, variables=again) as healthy:
            wait_for(lambda: send(healthy.url), "all acknowledged")
            ids = [one.event_id for batch in doomed.topic.batches() for one in batch.events]
    assert len(set(ids)) == NUM_BATCHES * 3
    # The third batch came twice at most, under the same ids: that is what the stitcher drops.
    assert len(ids) <= NUM_BATCHES * 3 + 3
