"""Log files of the parts: rotation, last lines, following.

Upstream: the parts write to them directly (append mode).
Downstream: `clawtrace logs`, and the last words of a part that failed.
Guarantee: a log takes at most twice LARGEST_BYTES on disk.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

LARGEST_BYTES = 20 * 1024 * 1024
TAIL_BLOCK_BYTES = 64 * 1024


def rotate(log_file: Path, largest_bytes: int = LARGEST_BYTES) -> None:
    """Copy a log that grew too large to <name>.1 and empty it.

    Emptied rather than renamed, because the part holds it open; a line written between copy and truncate
    is lost, which a log may suffer.
    """
    if log_file.exists() and log_file.stat().st_size > largest_bytes:
        shutil.copyfile(log_file, log_file.with_name(log_file.name + ".1"))
        os.truncate(log_file, 0)


def last_lines(log_file: Path, num_lines: int) -> list[str]:
    """The last lines of a log, without reading all of it."""
    if num_lines <= 0 or not log_file.exists():
        return []
    with log_file.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        tail = b""
        while position > 0 and tail.count(b"\n") <= num_lines:
            block_bytes = min(TAIL_BLOCK_BYTES, position)
            position = file.seek(position - block_bytes)
            tail = file.read(block_bytes) + tail
    return tail.decode(errors="replace").splitlines()[-num_lines:]


class LogFollower:
    """Gives the lines that several logs got since the last look."""

    def __init__(self, log_files: Sequence[Path]) -> None:
        self._positions = {path: path.stat().st_size if path.exists() else 0 for path in log_files}
        self._pending = dict.fromkeys(self._positions, b"")

    def new_lines(self) -> list[tuple[str, str]]:
        """Name of the part and line, for every line that is complete by now."""
        found: list[tuple[str, str]] = []
        for path, position in self._positions.items():
            if not path.exists():
                continue
            if path.stat().st_size < position:
                # Rotated: what is there now is new.
                position = 0
            with path.open("rb") as file:
                file.seek(position)
                data = self._pending[path] + file.read()
                self._positions[path] = file.tell()
            *whole, self._pending[path] = data.split(b"\n")
            found += [(path.stem, line.decode(errors="replace")) for line in whole]
        return found
