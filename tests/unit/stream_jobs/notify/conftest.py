"""What all tests of the notifier share."""

from collections.abc import Iterator

import pytest

from tests.unit.stream_jobs.notify.servers import patient_senders


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Only tests of the time itself name one."""
    with patient_senders():
        yield
