"""What all tests share: logs of ours go to standard error, as in every process; properties are tried alike every time.

Some tests read what a command printed, and threads of the tests before them may still have something to say.

How long an example takes says nothing on a busy machine, and one that was never tried before belongs to whoever looks
for it: ``pytest tests/property --hypothesis-profile=new``.
"""

import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

LOGS_TO_STANDARD_ERROR = structlog.PrintLoggerFactory(sys.__stderr__)

structlog.configure(logger_factory=LOGS_TO_STANDARD_ERROR)

settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("new"), derandomize=True)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def logs_outlive_a_command() -> Iterator[None]:
    """A command that ran in this process has sent all logs to a stream that ended with it."""
    yield
    if structlog.get_config()["logger_factory"] is LOGS_TO_STANDARD_ERROR:
        return
    structlog.reset_defaults()
    structlog.configure(logger_factory=LOGS_TO_STANDARD_ERROR)
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not _is_over(handler)]


def _is_over(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and bool(getattr(handler.stream, "closed", False))
