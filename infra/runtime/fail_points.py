"""Named places where a test lets a process die on the spot, as by ``kill -9``.

Upstream: ``CLAWTRACE_FAIL_POINT``; each process arms it once, at its start.
Downstream: gateway, stitcher and sink say that they have come to a place.
Guarantee: with nothing armed a place costs one comparison and does nothing. Armed, the process dies when it comes to
that place for the wanted time, and nowhere else. A place nobody knows is refused at the start, and so is any place in
a process that others than this machine can reach.
"""

import os
import signal
from pathlib import Path
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

# What has just been done at each place.
POINTS: Final[dict[str, str]] = {
    "gateway.handed_over": "the records of a request are with the producer, none is acknowledged",
    "gateway.acknowledged": "the broker has the records of a request, the answer is not given",
    "stitcher.outputs_sent": "the outputs of a record are with the producer",
    "stitcher.outputs_acknowledged": "the broker has the outputs of a record, its state is not written",
    "stitcher.changes_sent": "the changes of a record are with the producer of the changelog",
    "stitcher.changes_stored": "the changes of a record are in RocksDB too, perhaps not yet in the changelog",
    "stitcher.before_commit": "the changelog has everything that the coming commit of offsets stands for",
    "stitcher.after_commit": "offsets are committed",
    "sink.files_written": "Parquet files are there, nothing names them",
    "sink.manifest_written": "manifest and manifest list are there, nothing names them",
    "sink.metadata_written": "the new metadata file is there, the table's pointer is the old one",
    "sink.swapped": "one table has its new pointer, those after it do not",
    "sink.tables_committed": "all tables that were due are committed, the group's offsets are not told to Kafka",
}
# Before the path of a file that names the place, for as long as the file is there.
FROM_FILE: Final = "@"


class UnknownPoint(ValueError):
    """The setting names no place, or no number; the text says which places there are."""


class _Watch:
    """Counts how often this process came to the wanted place."""

    def __init__(self, wanted: str) -> None:
        self._file = Path(wanted[len(FROM_FILE) :]) if wanted.startswith(FROM_FILE) else None
        self._wanted = ("", 0) if self._file else parse(wanted)
        self._text = wanted
        self._num_passed = 0

    def pass_by(self, point: str) -> None:
        if self._file is not None and not self._is_named_by_file(self._file):
            return
        if point != self._wanted[0]:
            return
        self._num_passed += 1
        if self._num_passed == self._wanted[1]:
            self._die(point)

    def _is_named_by_file(self, file: Path) -> bool:
        try:
            text = file.read_text().strip()
        except FileNotFoundError:
            return False
        if text != self._text:
            self._text, self._wanted, self._num_passed = text, parse(text), 0
        return True

    def _die(self, point: str) -> None:
        if self._file is not None:
            # Once: the process that comes after this one must live.
            self._file.unlink(missing_ok=True)
        _log.warning("fail_point", point=point, passed=self._num_passed)
        os.kill(os.getpid(), signal.SIGKILL)


_watch: _Watch | None = None


def parse(text: str) -> tuple[str, int]:
    """Read ``<place>`` or ``<place>:<n>``; return the place and at which pass, from 1.

    Raises:
        UnknownPoint: there is no such place, or n is no number above 0.
    """
    point, colon, number = text.partition(":")
    if point not in POINTS:
        raise UnknownPoint(f"there is no fail point {point!r}; there are: {', '.join(POINTS)}")
    if colon and (not number.isdecimal() or int(number) < 1):
        raise UnknownPoint(f"{number!r} in the fail point {text!r} is no number from 1 on")
    return point, int(number or 1)


def arm(wanted: str) -> None:
    """Let this process die at a place.

    Args:
        wanted: ``<place>``, ``<place>:<n>`` for the n-th time, ``@<file>`` to look for either in a file each time,
            which is removed when it strikes; empty for nothing.

    Raises:
        UnknownPoint: see :func:`parse`.
    """
    global _watch
    _watch = _Watch(wanted) if wanted else None


def reach(point: str) -> None:
    """Say that the process has come to a place of ``POINTS``."""
    if _watch is not None:
        _watch.pass_by(point)
