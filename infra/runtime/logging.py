"""Logs of every process: one JSON object a line, on stderr.

Upstream: each process calls :func:`configure_logging` once, first thing.
Downstream: the supervisor's log files, or whatever collects stderr.
Guarantee: library logs come out in the same shape; level from CLAWTRACE_LOG_LEVEL (default info).
"""

import logging
import sys

import structlog
from structlog.types import EventDict, Processor

from infra.runtime.settings import StackSettings


def _without_colour(_: object, __: str, event: EventDict) -> EventDict:
    """Drop uvicorn's copy of each message with terminal colours in it."""
    event.pop("color_message", None)
    return event


def configure_logging(process: str) -> None:
    """Send this process's logs, ours and those of libraries, to stderr as JSON lines."""
    level = logging.getLevelNamesMapping()[StackSettings().log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _without_colour],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line per request is what /metrics is for.
    for noisy in ("httpx2", "httpcore2", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(process=process)
