"""Finds out what an erasure is about: its traces, their runs, and the windows of messages that carry no name.

Upstream: the job; the silver tables, read through Trino.
Downstream: tombstones for all of it.
Guarantee: found again, it is at least what it was. OpenClaw's messages name a session only, so they belong to the trace
that ran in the session then: from the end of the trace before it until its own end.
"""

# ruff: noqa: S608 - the texts hold names of our own tables; everything else is a parameter
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from infra.runtime.tombstones import ALWAYS_US, Tombstone
from lakehouse.settings import LakeSettings

_MAX_IN_LIST: Final = 200
# Clocks tick between the last message of a run and its end.
_TAIL_US: Final = 100_000
# A trace that was running when it was erased has no end yet.
_OPEN_TAIL_US: Final = 3_600_000_000


class Names:
    """Asks the tables. Use one for one job."""

    def __init__(self, cursor: Any, settings: LakeSettings, job: dict[str, Any]) -> None:
        self._cursor, self._job = cursor, job
        self._place = ".".join(f'"{name}"' for name in (settings.catalog_name, settings.silver_namespace))
        self._tenant_id: str = job["tenant_id"]
        self._agent_id: str = job["agent_id"]

    def traces(self) -> set[str]:
        """Ids of the traces that it names and that the tables know."""
        scope, target = self._job["scope"], self._job["target"]
        agent = " AND agent_id = ?" if self._agent_id else ""
        who = [self._agent_id] if self._agent_id else []
        asked_at = self._job["asked_at"].astimezone(UTC)
        if scope == "tenant":
            return self._ids(f"SELECT DISTINCT trace_id FROM {self._place}.traces WHERE tenant_id = ?", [])
        if scope == "trace":
            sql = f"SELECT DISTINCT trace_id FROM {self._place}.traces WHERE tenant_id = ? AND trace_id = ?{agent}"
            return self._ids(sql, [target, *who])
        return self._ids(
            f"SELECT trace_id FROM {self._place}.traces "
            f"WHERE tenant_id = ? AND session_key = ? AND started_at < ?{agent}",
            [target, asked_at, *who],
        ) | self._ids(
            f"SELECT trace_id FROM {self._place}.events "
            f"WHERE tenant_id = ? AND session_id = ? AND at < ? AND trace_id IS NOT NULL{agent}",
            [target, asked_at, *who],
        )

    def tombstones(self, traces: set[str]) -> list[Tombstone]:
        """Tombstones of these traces, their runs, and their windows."""
        stones = [Tombstone(self._tenant_id, "trace", trace_id, self._agent_id) for trace_id in sorted(traces)]
        for chunk in _chunks(sorted(traces)):
            marks = ", ".join("?" for _ in chunk)
            runs = self._rows(
                " UNION ".join(
                    f"SELECT agent_id, run_id FROM {self._place}.{table} "
                    f"WHERE tenant_id = ? AND run_id IS NOT NULL AND trace_id IN ({marks})"
                    for table in ("spans", "events")
                ),
                [self._tenant_id, *chunk] * 2,
            )
            stones += [
                Tombstone(self._tenant_id, "run", run_id, agent_id)
                for agent_id, run_id in runs
                if self._agent_id in ("", agent_id)
            ]
            sessions = self._rows(
                f"SELECT DISTINCT session_key FROM {self._place}.spans WHERE tenant_id = ? AND kind = 'run' "
                f"AND session_key IS NOT NULL AND trace_id IN ({marks})",
                [self._tenant_id, *chunk],
            )
            for keys in _chunks([str(row[0]) for row in sessions]):
                stones += self._windows(traces, keys)
        return stones

    def _windows(self, traces: set[str], session_keys: Sequence[str]) -> list[Tombstone]:
        marks = ", ".join("?" for _ in session_keys)
        rows = self._rows(
            "SELECT agent_id, session_key, trace_id, to_unixtime(min(started_at)), to_unixtime(max(ended_at)) "
            f"FROM {self._place}.spans WHERE tenant_id = ? AND kind = 'run' AND session_key IN ({marks}) "
            "GROUP BY agent_id, session_key, trace_id",
            [self._tenant_id, *session_keys],
        )
        in_session: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
        now_us = int(datetime.now(UTC).timestamp() * 1e6)
        for agent_id, key, trace_id, started_s, ended_s in rows:
            end_us = now_us + _OPEN_TAIL_US if ended_s is None else int(ended_s * 1e6) + _TAIL_US
            in_session[agent_id, key].append((int(started_s * 1e6), end_us, trace_id))
        stones = []
        for (agent_id, key), spans in in_session.items():
            for start_us, end_us, trace_id in spans:
                if trace_id in traces and self._agent_id in ("", agent_id):
                    before = [end for start, end, other in spans if start < start_us and other not in traces]
                    after_us = min(max(before, default=0), start_us)
                    stones.append(Tombstone(self._tenant_id, "window", key, agent_id, after_us, min(end_us, ALWAYS_US)))
        return stones

    def _ids(self, sql: str, parameters: list[Any]) -> set[str]:
        return {str(row[0]) for row in self._rows(sql, [self._tenant_id, *parameters])}

    def _rows(self, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql, parameters)
        return [tuple(row) for row in self._cursor.fetchall()]


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _MAX_IN_LIST):
        yield values[start : start + _MAX_IN_LIST]
