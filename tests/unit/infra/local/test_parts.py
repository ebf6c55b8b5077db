"""Order and choice of parts, and the real topology."""

from pathlib import Path

import pytest

from infra.local.errors import StackError
from infra.local.layout import Layout
from infra.local.parts import Kind, Launch, Part, select_parts, stop_waves
from infra.local.topology import build_topology
from infra.runtime.settings import StackSettings


def _part(name: str, *after: str, kind: Kind = Kind.PROCESS) -> Part:
    return Part(name=name, kind=kind, launch=lambda: Launch([], Path(), {}), after=after)


def _names(waves: list[list[Part]]) -> list[list[str]]:
    return [[part.name for part in wave] for wave in waves]


def test_nobody_stops_before_those_that_need_it() -> None:
    parts = [
        _part("broker"),
        _part("database"),
        _part("topics", "broker", kind=Kind.STEP),
        _part("worker", "topics"),
        _part("engine", "database"),
    ]
    assert _names(stop_waves(parts)) == [["worker"], ["engine"], ["broker", "database"]]


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(StackError, match=r"no part named nope.*broker"):
        select_parts([_part("broker")], ["nope"])


def test_no_names_mean_all() -> None:
    parts = [_part("a"), _part("b")]
    assert select_parts(parts, []) == parts
    assert [part.name for part in select_parts(parts, ["b"])] == ["b"]


def test_the_real_topology_waits_only_for_known_parts_and_never_in_a_circle(tmp_path: Path) -> None:
    parts = build_topology(Layout.of(StackSettings(home=tmp_path, port_base=7000, local_nodes=2)))
    names = {part.name for part in parts}
    done: set[str] = set()
    while len(done) < len(parts):
        next_ones = {part.name for part in parts if set(part.after) <= done} - done
        assert next_ones, f"circle or unknown name among {names - done}"
        done |= next_ones
    waves = _names(stop_waves(parts))
    assert {"kafka", "postgres"} <= set(waves[-1])
