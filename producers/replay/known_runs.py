"""Asks the API what the tables have of certain runs.

Upstream: ``POST /v1/sql`` with a read key.
Downstream: ``producers.replay.transcript_events``.
Guarantee: every span of every run that was asked for, however many; an API that is away or refuses is an error, never
an empty answer, because an empty answer would double what is there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2

from producers.contracts.usage import TokenUsage
from producers.replay.transcript_events import KnownCall, KnownRun
from producers.replay.transcript_runs import TranscriptRun

SQL_PATH: Final = "/v1/sql"
RUNS_PER_QUESTION: Final = 40
ROWS_PER_QUESTION: Final = 1_000

_COLUMNS: Final = (
    "run_id, span_id, trace_id, kind, status, started_at, tool_call_id, "
    "input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, usage_source"
)


class KnownRunsAway(Exception):
    """The API did not say what is known; the text says why and what to do."""


def find_known_runs(client: httpx2.Client, key: str, runs: Sequence[TranscriptRun]) -> dict[str, KnownRun]:
    """Return what is known of the runs, by run id; ``client`` has the API as its base_url.

    Raises:
        KnownRunsAway: the API does not answer, or refuses.
    """
    known: dict[str, KnownRun] = {}
    for start in range(0, len(runs), RUNS_PER_QUESTION):
        some = runs[start : start + RUNS_PER_QUESTION]
        for row in _all_rows(client, key, some):
            note_row(known, row)
    return known


def _all_rows(client: httpx2.Client, key: str, runs: Sequence[TranscriptRun]) -> list[dict[str, Any]]:
    ids = ", ".join(_quoted(run.run_id) for run in runs)
    # A trace is filed under the day of its first run, which may lie before any of these.
    first = datetime.fromtimestamp(min(run.started_ms for run in runs) / 1_000, tz=UTC) - timedelta(days=7)
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        # Every value is quoted here or our own; the API's guard admits nothing but one SELECT anyway.
        sql = (
            f"SELECT {_COLUMNS} FROM spans WHERE trace_date >= DATE '{first.date().isoformat()}' "  # noqa: S608
            f"AND run_id IN ({ids}) AND span_id > {_quoted(after)} ORDER BY span_id LIMIT {ROWS_PER_QUESTION}"
        )
        page, is_cut = _ask(client, key, sql)
        rows += page
        if not page or (len(page) < ROWS_PER_QUESTION and not is_cut):
            return rows
        after = page[-1]["span_id"]


def _ask(client: httpx2.Client, key: str, sql: str) -> tuple[list[dict[str, Any]], bool]:
    try:
        answer = client.post(SQL_PATH, json={"sql": sql}, headers={"Authorization": f"Bearer {key}"})
    except httpx2.TransportError as error:
        raise KnownRunsAway(
            f"the API at {client.base_url} does not answer ({error}); without it nobody knows what was captured already"
        ) from None
    if answer.status_code != httpx2.codes.OK:
        raise KnownRunsAway(f"the API answered {answer.status_code}: {answer.text[:300]}")
    body = answer.json()
    names = [column["name"] for column in body["columns"]]
    return [dict(zip(names, row, strict=True)) for row in body["rows"]], bool(body["truncated"])


def note_row(known: dict[str, KnownRun], row: dict[str, Any]) -> None:
    """Take one row of the view ``spans``."""
    run = known.setdefault(row["run_id"], KnownRun(row["run_id"], row["trace_id"]))
    if row["kind"] == "run":
        run.is_open = row["status"] == "running"
    elif row["kind"] == "tool_call":
        run.tools[row["tool_call_id"]] = row["status"] != "running"
    elif row["kind"] == "model_call":
        is_open, has_failed = row["status"] == "running", row["status"] == "error"
        run.calls.append(KnownCall(row["span_id"], _ms(row["started_at"]), _usage(row), has_failed, is_open))


def _usage(row: dict[str, Any]) -> TokenUsage | None:
    if row["usage_source"] is None:
        return None
    return TokenUsage(
        input_tokens=int(row["input_tokens"] or 0),
        cache_read_tokens=int(row["cache_read_tokens"] or 0),
        cache_write_tokens=int(row["cache_write_tokens"] or 0),
        output_tokens=int(row["output_tokens"] or 0),
    )


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1_000)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
