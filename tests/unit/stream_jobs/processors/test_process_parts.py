"""The small parts of the process: folder, files, limits, watchdog, names."""

import os
from pathlib import Path

import pytest

from producers.contracts.topics import EVENTS
from stream_jobs.core.state import KEPT_DAYS
from stream_jobs.processors.config_files import CHECK_EVERY_S, ConfigFile
from stream_jobs.processors.datadir import FORMAT_FILE, FolderInUse, StateFolder
from stream_jobs.processors.dead_letter import (
    MAX_CONSECUTIVE,
    MAX_IN_WINDOW,
    DeadLetterLimit,
    TooManyDeadLetters,
    dead_letter_headers,
)
from stream_jobs.processors.local_files import TTL_S
from stream_jobs.processors.topology import STATE, Topology
from stream_jobs.processors.watchdog import Watchdog
from stream_jobs.settings import StitcherSettings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_folder_keeps_what_this_release_wrote_and_nothing_else(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "s") as folder:
        (folder.data / "file").touch()
    with StateFolder(tmp_path / "s") as folder:
        assert [path.name for path in folder.data.iterdir()] == ["file"]
    (tmp_path / "s" / FORMAT_FILE).unlink()
    with StateFolder(tmp_path / "s") as folder:
        assert list(folder.data.iterdir()) == [], "earlier releases had no such file"


def test_folder_belongs_to_one_process(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path) as folder,
        pytest.raises(FolderInUse, match=str(tmp_path)),
        StateFolder(tmp_path),
    ):
        pass
    assert folder.data.exists()


def test_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "prices.toml"
    file = ConfigFile(path, "prices", lambda text: int(text or "0"), clock)
    assert file.value == 0
    seen = []
    for text in ("1", "broken", "22", None):
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
            os.utime(path, (clock.now, clock.now))
        seen.append(file.value)
        clock.now += CHECK_EVERY_S
        seen.append(file.value)
    assert seen == [0, 1, 1, 1, 1, 22, 22, 0]


def test_limit_in_a_row() -> None:
    limit = DeadLetterLimit()
    for _ in range(3):
        for _ in range(MAX_CONSECUTIVE):
            limit.bad()
        limit.good()
    for _ in range(MAX_CONSECUTIVE):
        limit.bad()
    with pytest.raises(TooManyDeadLetters, match="in a row"):
        limit.bad()


def test_limit_by_share() -> None:
    limit = DeadLetterLimit()
    for _ in range(MAX_IN_WINDOW):
        limit.bad()
        for _ in range(10):
            limit.good()
    with pytest.raises(TooManyDeadLetters, match="of the last"):
        limit.bad()
    patient = DeadLetterLimit()
    for _ in range(MAX_IN_WINDOW * 3):
        patient.bad()
        for _ in range(30):
            patient.good()


def test_headers_say_where_and_why() -> None:
    assert dict(dead_letter_headers("t", 3, 17, "é" * 5_000))["original_partition"] == b"3"


def test_watchdog_counts_only_while_work_waits() -> None:
    clock = Clock()
    watchdog = Watchdog(30, clock)
    assert watchdog.stalled_s({"p": 1}, work_waits=True) == 0
    clock.now += 29
    assert not watchdog.is_over(watchdog.stalled_s({"p": 1}, work_waits=True))
    clock.now += 1
    assert watchdog.is_over(watchdog.stalled_s({"p": 1}, work_waits=True))
    assert watchdog.stalled_s({"p": 2}, work_waits=True) == 0
    clock.now += 100
    assert watchdog.stalled_s({"p": 2}, work_waits=False) == 0


def test_state_topic_fits_the_events_topic() -> None:
    assert STATE.partitions == EVENTS.partitions
    assert STATE.config["cleanup.policy"] == "compact,delete"
    assert STATE.retention_ms // 1000 == TTL_S == KEPT_DAYS * 86_400
    assert Topology.with_prefix("x.").group == "x.clawtrace.stitcher"


def test_settings_default_to_the_home(tmp_path: Path) -> None:
    settings = StitcherSettings(home=tmp_path)
    assert settings.prices_file == tmp_path / "config" / "prices.toml"
    assert settings.rules_file == tmp_path / "config" / "rules.toml"
    assert StitcherSettings(home=tmp_path, rules_file=tmp_path / "r").rules_file == tmp_path / "r"
