"""The stitcher's local files, compared with the changelog that they are a copy of.

Upstream: ``<home>/stitcher``, whether or not the stitcher runs; the changelog's records.
Downstream: tests that kill the stitcher, and the oracle of the campaign.
Guarantee: nothing is changed; the files are read as they lie there at one instant.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rocksdict import AccessType, Options, Rdict

from stream_jobs.processors.datadir import DATA
from stream_jobs.processors.local_files import NEXT_OFFSET_KEY
from stream_jobs.processors.local_state import FOLDER_PREFIX

# Behind each value lies when it was written.
_STAMP_BYTES: Final = 4


def file_findings(home: Path, partition: int, changelog: Iterable[tuple[int, bytes | None, bytes | None]]) -> list[str]:
    """Say how the files of a partition differ from the changelog, (offset, key, value), up to where they end."""
    path = home / "stitcher" / DATA / f"{FOLDER_PREFIX}{partition}"
    if not path.exists():
        return []
    files = Rdict(str(path), options=Options(raw_mode=True), access_type=AccessType.read_only())
    found = {key: value[:-_STAMP_BYTES] for key, value in files.items()}
    files.close()
    next_offset = int(found.pop(NEXT_OFFSET_KEY, b"0"))
    wanted: dict[bytes | None, bytes | None] = {}
    for offset, key, value in changelog:
        if offset < next_offset:
            wanted[key] = value
    kept = {key: value for key, value in wanted.items() if value is not None}
    if found == kept:
        return []
    num_lacking = len(kept.keys() - found.keys())
    num_other = sum(value != kept.get(key) for key, value in found.items())
    return [
        f"the files of partition {partition} are not the changelog up to {next_offset}: of {len(kept)} keys they lack "
        f"{num_lacking}, and {num_other} that they hold are others or have another value"
    ]
