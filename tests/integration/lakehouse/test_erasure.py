"""What was erased is nowhere: in no view, no snapshot, no file; and nothing of it comes back."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from infra.runtime import erasure_jobs
from infra.runtime.database import make_engine
from lakehouse.contracts.erasure import Receipt
from lakehouse.erasure.eraser import Eraser
from lakehouse.maintenance.lock import tables_lock
from lakehouse.maintenance.swap import swap_files
from lakehouse.sink.committer import Outdated
from lakehouse.sink.rows import build_rows
from producers.contracts.event import Event, EventBatch, TraceContext
from producers.contracts.topics import EVENTS
from stream_jobs.contracts.score import Score, ScoreBatch
from stream_jobs.contracts.topics import ALERTS, CARDS, SCORES, SPANS, TRACES
from tests.integration.lakehouse.filling import committer_of, next_progress, span_rows
from tests.integration.lakehouse.lake import Lake, wait_until
from tests.unit.lakehouse import records as make

SESSION = "agent:main:main"


@pytest.fixture
def tenant_id() -> str:
    """A tenant that nobody else has; tombstones stay in Postgres."""
    return f"era{uuid.uuid4().hex[:8]}"


@pytest.fixture
def database(lake: Lake, tenant_id: str) -> Iterator[Engine]:
    """Postgres, without the test's tombstones afterwards."""
    engine = make_engine(lake.stack)
    yield engine
    with engine.begin() as connection:
        for table in ("erased", "erasures"):
            connection.execute(sa.text(f"DELETE FROM control.{table} WHERE tenant_id = :t"), {"t": tenant_id})
    engine.dispose()


class Story:
    """A trace as the topics tell it: events with and without names, a span, the trace, an alert, a card."""

    def __init__(self, lake: Lake, tenant_id: str, word: str, start_us: int) -> None:
        self.lake, self.tenant_id, self.word, self.start_us = lake, tenant_id, word, start_us
        self.trace_id = f"trace-{word}"
        self.run_id = f"run-{word}"
        self.spool = str(uuid.uuid4())

    def tell(self, rev: int) -> None:
        """Send all of it."""
        who = {"tenant_id": self.tenant_id}
        at_us = self.start_us
        named = {"trace_id": self.trace_id, "name": f"said {self.word}", "input": f'"{self.word}"'}
        span = make.span("", "", rev, kind="run", run_id=self.run_id, session_key=SESSION, started_at_us=at_us)
        span = msgspec.structs.replace(span, **who, **named, span_id=f"span-{self.word}", ended_at_us=at_us + 1_000_000)
        trace = make.trace("", rev, started_at_us=at_us, session_key=SESSION)
        trace = msgspec.structs.replace(trace, **who, trace_id=self.trace_id, name=f"said {self.word}")
        alert = msgspec.structs.replace(
            make.alert_batch(rev).alerts[0],
            **who,
            alert_id=f"alert-{self.word}",
            trace_id=self.trace_id,
            message=f"said {self.word}",
        )
        card = msgspec.structs.replace(make.card_batch(rev).cards[0], **who, trace_id=self.trace_id, task_id=self.word)
        score = Score(
            **who,
            agent_id=make.AGENT,
            trace_id=self.trace_id,
            trace_date=card.trace_date,
            score_id=f"score-{self.word}",
            source="human",
            scorer="ada",
            criterion="overall",
            comment=f"said {self.word}",
            at_us=at_us,
            rev=rev,
        )
        batches: list[tuple[str, Any]] = [
            (EVENTS.name, self._events()),
            (SPANS.name, make.span_batch(rev, [span])),
            (TRACES.name, make.trace_batch(rev, [trace])),
            (ALERTS.name, msgspec.structs.replace(make.alert_batch(rev), alerts=[alert])),
            (CARDS.name, msgspec.structs.replace(make.card_batch(rev), cards=[card])),
            (SCORES.name, ScoreBatch(tenant_id=self.tenant_id, agent_id=make.AGENT, rev=rev, scores=[score])),
        ]
        for topic, batch in batches:
            self.lake.produce(topic, make.encode(msgspec.structs.replace(batch, tenant_id=self.tenant_id)))

    def _events(self) -> EventBatch:
        payload = msgspec.Raw(msgspec.json.encode({"event": {"text": self.word}, "ctx": {}}))
        names: list[dict[str, Any]] = [
            {"trace": TraceContext(trace_id=self.trace_id), "run_id": self.run_id, "session_key": SESSION},
            {"run_id": self.run_id},
            # As OpenClaw writes messages, the first before the run is known of.
            {"session_key": SESSION, "at_us": self.start_us - 1_000},
        ]
        events = [
            Event(
                **({"at_us": self.start_us + n, "seq": n, "event_id": f"{self.word}{n}"} | own),
                hook="h",
                payload=payload,
            )
            for n, own in enumerate(names)
        ]
        return msgspec.structs.replace(make.event_batch(self.spool, 0, 1), events=events)


def _holds(lake: Lake, word: str) -> list[str]:
    """Tables of which any row of any snapshot holds the word, and files of the warehouse that do."""
    found = []
    for spec_name in (
        "events",
        "spans",
        "edges",
        "traces",
        "agents",
        "tenants",
        "alerts",
        "cards",
        "scores",
        "verdicts",
    ):
        table = lake.table(spec_name)
        for snapshot in table.snapshots():
            if word in str(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist()):
                found.append(f"{spec_name}@{snapshot.snapshot_id}")
    folder = Path(lake.stack.warehouse.removeprefix("file://")) / lake.namespace
    for path in folder.rglob("*"):
        # The sink may have just begun to write one.
        is_data = path.suffix == ".parquet" and path.stat().st_size > 0
        text = str(pq.read_table(path, partitioning=None).to_pylist()) if is_data else ""
        if word in text or (path.is_file() and word.encode() in path.read_bytes()):
            found.append(str(path.relative_to(folder)))
    return found


def _counts(lake: Lake) -> dict[str, int]:
    """Rows of the tables that the topics fill by themselves."""
    return {name: lake.num_rows(name) for name in ("events", "spans", "traces", "cards", "scores")}


def _erase(lake: Lake, database: Engine, tenant_id: str, scope: Any, target: str) -> Receipt:
    # The stack's own upkeep must not take the job: its tables are others.
    with tables_lock(database, within_s=120):
        with database.begin() as connection:
            job = erasure_jobs.ask(connection, tenant_id, scope, target, reason="a test", who="test")
        settings = lake.upkeep_settings(topic_prefix=f"{lake.name}.")
        assert Eraser(settings, database).run_next(job["erasure_id"]) is not None
    with database.begin() as connection:
        done = erasure_jobs.find(connection, tenant_id, job["erasure_id"])
    assert done is not None
    assert (done["state"], done["error"]) == ("done", "")
    return Receipt.model_validate(done["receipt"])


def test_an_erased_trace_is_nowhere_and_stays_away(lake: Lake, database: Engine, tenant_id: str) -> None:
    sink = lake.start_sink()
    kept = Story(lake, tenant_id, "sparrow", make.AT_US)
    erased = Story(lake, tenant_id, "canary", make.AT_US + 60_000_000)
    kept.tell(1)
    erased.tell(2)
    lake.flush()
    everything = {"events": 6, "spans": 2, "traces": 2, "alerts": 2, "cards": 2, "scores": 2}
    wait_until(lambda: {name: lake.num_rows(name) for name in everything} == everything, "all rows are there")
    wait_until(lambda: lake.num_rows("edges") > 0, "the slow tables too")
    assert _holds(lake, "canary") != []

    receipt = _erase(lake, database, tenant_id, "trace", erased.trace_id)

    assert _holds(lake, "canary") == []
    assert _holds(lake, "sparrow") != []
    rows = {it.table: it.num_rows for it in receipt.tables}
    assert {name: rows[name] for name in everything} == {
        "events": 3,
        "spans": 1,
        "traces": 1,
        "alerts": 1,
        "cards": 1,
        "scores": 1,
    }
    assert (receipt.num_traces, receipt.num_rows_left, receipt.num_files_left) == (1, 0, 0)
    gone_by = {it.topic.removeprefix(f"{lake.name}."): it.gone_by for it in receipt.topics}
    assert gone_by[EVENTS.name] is not None
    assert gone_by[EVENTS.name] > receipt.finished_at

    # The stitcher says it again, late events come, and another trace of the session goes on.
    erased.tell(3)
    kept.tell(4)
    Story(lake, tenant_id, "wren", make.AT_US + 120_000_000).tell(5)
    lake.flush()
    wait_until(lambda: lake.num_rows("cards") == 3 and lake.num_rows("events") == 9, "the others are stored")
    wait_until(lambda: lake.progress("cards").sources[CARDS.name].next_offset.get(0) == 5, "all was read")
    assert _holds(lake, "canary") == []
    assert sink.metric('clawtrace_sink_refused_rows_total{table="cards"}') == 1
    assert sink.process.poll() is None


def test_a_session_is_erased_until_now(lake: Lake, database: Engine, tenant_id: str) -> None:
    sink = lake.start_sink()
    Story(lake, tenant_id, "canary", make.AT_US).tell(1)
    lake.flush()
    wait_until(
        lambda: _counts(lake) == {"events": 3, "spans": 1, "traces": 1, "cards": 1, "scores": 1}, "all rows are there"
    )

    receipt = _erase(lake, database, tenant_id, "session", SESSION)
    assert receipt.num_traces == 1
    assert _holds(lake, "canary") == []

    # The session goes on under its key.
    later_us = int(receipt.finished_at.timestamp() * 1e6) + 60_000_000
    Story(lake, tenant_id, "wren", later_us).tell(2)
    lake.flush()
    wait_until(lambda: _counts(lake)["cards"] == 1 and _counts(lake)["events"] == 3, "what came later is stored")
    assert sink.process.poll() is None


def test_an_erased_tenant_stays_away(lake: Lake, database: Engine, tenant_id: str) -> None:
    sink = lake.start_sink()
    Story(lake, tenant_id, "wren", make.AT_US).tell(1)
    Story(lake, "another0", "sparrow", make.AT_US).tell(2)
    lake.flush()
    wait_until(
        lambda: _counts(lake) == {"events": 6, "spans": 2, "traces": 2, "cards": 2, "scores": 2}, "all rows are there"
    )

    receipt = _erase(lake, database, tenant_id, "tenant", tenant_id)
    assert (receipt.num_traces, receipt.num_rows_left) == (1, 0)
    Story(lake, tenant_id, "crow", make.AT_US).tell(3)
    Story(lake, "another0", "lark", make.AT_US).tell(4)
    lake.flush()
    wait_until(lambda: lake.num_rows("cards") == 2, "another tenant's are stored")
    wait_until(lambda: lake.progress("cards").sources[CARDS.name].next_offset.get(0) == 4, "all was read")
    # Every row of the tenant bears its id: neither what was there nor what came then.
    assert _holds(lake, tenant_id) == []
    assert sink.process.poll() is None


def test_rows_in_the_hands_of_a_sink_are_not_committed_after_an_erasure(lake: Lake) -> None:
    committer = committer_of(lake, "spans")
    wanted = next_progress(committer, 1)
    files = committer.write(build_rows(committer.spec, span_rows(0, 5)["spans"], wanted.epoch))
    # What an erasure does to every table, also to one that had nothing of it.
    swap_files(lake.table("spans"), (), ())
    with pytest.raises(Outdated):
        committer.commit(files, wanted, lambda: False)
    assert lake.num_rows("spans") == 0
    assert not any(Path(file.file_path.removeprefix("file://")).exists() for file in files)
    # Without the second look they would land.
    files = committer.write(build_rows(committer.spec, span_rows(0, 5)["spans"], wanted.epoch))
    swap_files(lake.table("spans"), (), ())
    committer.commit(files, wanted)
    assert lake.num_rows("spans") == 5
