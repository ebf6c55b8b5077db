"""Fail points: a process dies at the named place, for the named time, and nowhere else."""

import re
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.runtime.fail_points import POINTS, UnknownPoint, arm, parse, reach
from infra.runtime.settings import StackSettings
from tests.captures import ROOT

WALK = """
import sys
from infra.runtime.fail_points import arm, reach
arm(sys.argv[1])
for number in range(3):
    reach("sink.swapped")
    print(number, flush=True)
    reach("sink.files_written")
"""


def walk(wanted: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", WALK, wanted], cwd=ROOT, capture_output=True, text=True, check=False)
    # Where logs go is the process's affair; here they are lines of words.
    return done.returncode, [line for line in done.stdout.splitlines() if line.isdecimal()]


def test_unarmed_it_does_nothing_and_costs_nothing() -> None:
    arm("")
    assert walk("") == (0, ["0", "1", "2"])
    # A generous bound: it is some 40 ns, and the busiest place is passed a few thousand times a second.
    assert min(timeit.repeat(lambda: reach("sink.swapped"), number=10_000, repeat=5)) < 0.1


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [("sink.swapped", []), ("sink.swapped:3", ["0", "1"]), ("sink.files_written:1", ["0"])],
)
def test_armed_it_dies_at_that_pass_of_that_place(wanted: str, printed: list[str]) -> None:
    assert walk(wanted) == (-signal.SIGKILL, printed)


def test_a_place_that_is_not_passed_kills_nobody() -> None:
    assert walk("gateway.acknowledged") == (0, ["0", "1", "2"])
    assert walk("sink.swapped:4") == (0, ["0", "1", "2"])


def test_a_file_strikes_once(tmp_path: Path) -> None:
    file = tmp_path / "point"
    assert walk(f"@{file}") == (0, ["0", "1", "2"])
    file.write_text("sink.swapped:2\n")
    assert walk(f"@{file}") == (-signal.SIGKILL, ["0"])
    assert not file.exists()
    assert walk(f"@{file}") == (0, ["0", "1", "2"])


@pytest.mark.parametrize("text", ["", "sink", "sink.swapped:", "sink.swapped:0", "sink.swapped:x", "sink.swapped:-1"])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(UnknownPoint):
        parse(text)


def test_a_process_that_others_reach_refuses_to_be_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWTRACE_FAIL_POINT", "sink.swapped")
    assert StackSettings().fail_point == "sink.swapped"
    monkeypatch.setenv("CLAWTRACE_LISTEN_HOST", "0.0.0.0")
    with pytest.raises(ValidationError, match="unset it"):
        StackSettings()


def test_every_place_is_in_the_code_once_and_every_place_in_the_code_is_named() -> None:
    found = []
    for stage in ("producers", "stream_jobs", "lakehouse"):
        for file in (ROOT / stage).rglob("*.py"):
            found += re.findall(r'\breach\("([^"]+)"\)', file.read_text())
    assert sorted(found) == sorted(POINTS)
