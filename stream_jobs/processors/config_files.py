"""Prices and rules from files, read again when they change.

Upstream: ``<home>/config/prices.toml`` and ``rules.toml``, both optional.
Downstream: the core, with each record.
Guarantee: a broken file never stops the stitcher: the last good version (at a start: the built-in one) stays in force,
with an error in the log and a metric until the file is right again.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from stream_jobs import metrics

_log = structlog.get_logger(__name__)

CHECK_EVERY_S: Final = 2.0

Parsed = TypeVar("Parsed")


class ConfigFile(Generic[Parsed]):
    """One file and its last good content."""

    def __init__(
        self,
        path: Path,
        name: str,
        parse: Callable[[str], Parsed],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._name, self._parse, self._clock = path, name, parse, clock
        self._seen: tuple[int, int, int] | None = None
        self._checked_at = -CHECK_EVERY_S
        # An empty file means the defaults; so does no file.
        self._value = parse("")
        self.look()

    @property
    def value(self) -> Parsed:
        """The content; looks at the file at most every two seconds."""
        if self._clock() - self._checked_at >= CHECK_EVERY_S:
            self.look()
        return self._value

    def look(self) -> None:
        """Look at the file at once."""
        self._checked_at = self._clock()
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            text = self._path.read_text()
        except FileNotFoundError:
            if self._seen is None:
                metrics.BROKEN_FILE.labels(self._name).set(0)
                return
            seen, text = None, ""
        except OSError as error:
            self._refuse(error)
            return
        self._seen = seen
        try:
            self._value = self._parse(text)
        except Exception as error:
            self._refuse(error)
            return
        metrics.BROKEN_FILE.labels(self._name).set(0)
        _log.info("config_read", file=str(self._path), present=seen is not None)

    def _refuse(self, error: Exception) -> None:
        metrics.BROKEN_FILE.labels(self._name).set(1)
        _log.error("config_broken", file=str(self._path), error=str(error), in_force="the last good version")
