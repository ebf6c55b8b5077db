"""Local files keep what is in them over restarts and compactions, and forget what nobody wrote for long."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from rocksdict import AccessType, Options, Rdict

from stream_jobs.processors import local_files
from stream_jobs.processors.datadir import DATA
from stream_jobs.processors.local_files import LocalFiles, open_files
from stream_jobs.processors.local_state import FOLDER_PREFIX
from tests.local_state import file_findings

NUM_KEYS = 500


def opened_again(path: Path, ttl_s: int) -> Any:
    """As rocksdict opens files when one only names path, options and time to live."""
    return Rdict(str(path), options=Options(raw_mode=True), access_type=AccessType.with_ttl(ttl_s))


def filled(path: Path) -> None:
    """Write some keys, and close."""
    files = open_files(path)
    for number in range(NUM_KEYS):
        files.put(b"key%d" % number, b"value")
    files.close()


def num_left_by_compaction(files: Any) -> int:
    """How many keys are left."""
    files.compact_range(None, None)
    num_left = sum(1 for _ in files.items())
    files.close()
    return num_left


def test_a_compaction_after_a_restart_deletes_nothing_although_by_itself_it_deletes_all(tmp_path: Path) -> None:
    ours, stock = tmp_path / "ours", tmp_path / "stock"
    for path in (ours, stock):
        filled(path)
    assert num_left_by_compaction(open_files(ours)) == NUM_KEYS
    assert num_left_by_compaction(open_files(ours)) == NUM_KEYS
    # If this fails, rocksdict has mended it: look whether the column family must still be named.
    assert num_left_by_compaction(opened_again(stock, local_files.TTL_S)) < NUM_KEYS


def test_ten_restarts_delete_nothing(tmp_path: Path) -> None:
    """Each leaves a file of its own; with the fourth RocksDB compacts them by itself."""
    path = tmp_path / "state-0"
    for number in range(10):
        files = LocalFiles(path)
        assert files.next_offset == number
        assert [files.get(b"key%d" % earlier) for earlier in range(number)] == [b"value"] * number
        files.apply([(b"key%d" % number, b"value")], number + 1)
        files._files.close()
        del files


def test_what_nobody_wrote_for_long_goes_after_a_restart_too(tmp_path: Path) -> None:
    path = tmp_path / "state-0"
    filled(path)
    time.sleep(2.1)
    files = open_files(path, ttl_s=1)
    files.put(b"new", b"value")
    files.compact_range(None, None)
    assert [key for key, _ in files.items()] == [b"new"]


def test_files_that_are_there_are_opened_with_our_options(tmp_path: Path) -> None:
    path = tmp_path / "state-0"
    filled(path)
    files = open_files(path)
    log = (path / "LOG").read_text()
    assert f"Options.write_buffer_size: {local_files.MEMTABLE_BYTES}" in log
    assert "filter_policy: bloomfilter" in log
    files.close()


def test_files_know_where_they_end_when_they_are_opened_again(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "state-0")
    files.apply([(b"a", b"1"), (b"b", b"1"), (b"b", None)], 7)
    assert list(files.scan(b"a")) == [(b"a", b"1")]
    files._files.close()
    del files
    again = LocalFiles(tmp_path / "state-0")
    assert (again.next_offset, again.get(b"a"), again.get(b"b")) == (7, b"1", None)
    again.clear("a test")
    assert (again.next_offset, again.get(b"a")) == (0, None)
    again.apply([(b"a", b"2")], 1)
    assert again.get(b"a") == b"2"


def test_files_that_nobody_wrote_to_for_hours_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "state-0"
    files = LocalFiles(path)
    files.apply([(b"a", b"1")], 1)
    files._files.close()
    del files
    long_ago = time.time() - local_files.MAX_AGE_S - 60
    for file in path.iterdir():
        os.utime(file, (long_ago, long_ago))
    assert LocalFiles(path).next_offset == 0


def test_files_that_are_open_grow_too_old_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LocalFiles(tmp_path / "state-0")
    files.apply([(b"a", b"1")], 1)
    assert not files.is_outdated
    monkeypatch.setattr(local_files, "MAX_AGE_S", -1.0)
    assert files.is_outdated


def test_the_files_of_a_process_at_work_can_be_compared_with_its_changelog(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "stitcher" / DATA / f"{FOLDER_PREFIX}0")
    changelog = [(0, b"a", b"1"), (1, b"b", b"1"), (2, b"a", b"2"), (3, b"b", None), (4, b"c", b"later")]
    files.apply([(key, value) for _, key, value in changelog[:4]], 4)
    assert file_findings(tmp_path, 0, changelog) == []
    assert file_findings(tmp_path, 1, changelog) == [], "there are none"
    files.apply([(b"a", None), (b"d", b"1")], 5)
    (finding,) = file_findings(tmp_path, 0, changelog)
    assert finding.endswith("up to 5: of 2 keys they lack 2, and 1 that they hold are others or have another value")
