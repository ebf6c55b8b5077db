"""Tells the person what is going on: bars on a terminal, plain lines in a file or a pipe.

Upstream: up.py and artifacts.py.
Downstream: standard error, so that standard output stays for results.
Guarantee: thread-safe; without a terminal no control characters are written.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

PLAIN_LINE_EVERY_S = 5.0
MEGABYTE = 1_000_000


class Progress:
    """Where words about progress go."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._started_at = time.monotonic()

    def say(self, text: str) -> None:
        """One line, with the seconds since the command began."""
        if not self._quiet:
            elapsed_s = time.monotonic() - self._started_at
            self._console.print(f"[dim]{elapsed_s:5.1f} s[/dim]  {escape(text)}")

    @contextmanager
    def download(self, text: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Show bytes arriving; yields the function to call with their number."""
        if self._quiet:
            yield lambda num_bytes: None
        elif sys.stderr.isatty():
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            with Bars(*columns, console=self._console) as bars:
                task = bars.add_task(text, total=total_bytes)
                yield lambda num_bytes: bars.advance(task, num_bytes)
        else:
            yield self._plain_counter(text, total_bytes)

    def _plain_counter(self, text: str, total_bytes: int) -> Callable[[int], None]:
        lock = threading.Lock()
        done_bytes = 0
        next_line_at = time.monotonic()

        def advance(num_bytes: int) -> None:
            nonlocal done_bytes, next_line_at
            with lock:
                done_bytes += num_bytes
                if time.monotonic() < next_line_at and done_bytes < total_bytes:
                    return
                next_line_at = time.monotonic() + PLAIN_LINE_EVERY_S
                done = f"{done_bytes // MEGABYTE} of {total_bytes // MEGABYTE} MB"
            self.say(f"{text}: {done}")

        return advance
