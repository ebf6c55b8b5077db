"""Compares what lies in the tables with what must lie there; every difference is a sentence.

Upstream: the ledger, the captures' own lines, the log in Kafka, the tables through Trino as the operator sees them.
Downstream: ``campaign`` and the tests fail when there is any sentence.
Guarantee: four views that do not depend on each other: what was acknowledged; what the lines of the captures add up to;
what SQL makes of the spans of each trace; what a stitcher that was never killed makes of the same log. Besides, nothing
of what was sent may lie in the dead letters, and the stitcher's local files must be what its changelog says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition
from trino.exceptions import TrinoConnectionError, TrinoQueryError

from infra.runtime.kafka_security import kafka_connection
from producers.contracts.topics import EVENTS
from stream_jobs.processors.stitcher import GENERATION_SHIFT
from stream_jobs.processors.topology import STATE
from stream_jobs.settings import StitcherSettings
from tests.faults.calm import Calm, stitch_calmly
from tests.faults.ledger import EventKey, Ledger
from tests.faults.mixture import Run
from tests.integration.doors import Doors, wait_until
from tests.local_state import file_findings

TOKENS: Final = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
# A revision of what is, in the table of that name.
KEYS: Final = {
    "spans": "agent_id, trace_id, span_id, rev",
    "traces": "agent_id, trace_id, rev",
    # One that rose and was over within one record is told in both states.
    "alerts": "alert_id, state, rev",
}
SHOWN: Final = 3
_OFFSET_MASK: Final = (1 << GENERATION_SHIFT) - 1
_FINEST: Final = Decimal("1e-12")


def findings_of(doors: Doors, ledger: Ledger, runs: list[Run], tenants: tuple[str, ...]) -> list[str]:
    """Wait until everything is in the tables; return what is wrong with it, in sentences."""
    # Trino answers for a moment that it cannot read tables, when it and their catalog have just come back.
    wait_until(lambda: _can_read(doors), bool, "tables can be read")
    log = read_log(doors)
    doors.wait_until_stored()
    return [
        *event_findings(doors, ledger, tenants),
        *total_findings(doors, runs, tenants),
        *roll_up_findings(doors, tenants),
        *revision_findings(doors, tenants),
        *calm_findings(doors, log, tenants),
        *letter_findings(doors, tenants),
    ]


def read_log(doors: Doors) -> dict[int, list[bytes]]:
    """Read the events topic, partition by partition, to where it ends now."""
    ends = {partition: end for (_, partition), end in doors.end_offsets([EVENTS.name]).items()}
    log: dict[int, list[bytes]] = {partition: [] for partition in ends}
    consumer = Consumer({**kafka_connection(doors.stack.kafka_bootstrap, doors.stack), "group.id": "faults"})
    try:
        consumer.assign([TopicPartition(EVENTS.name, partition, 0) for partition in ends])
        while any(len(log[partition]) < end for partition, end in ends.items()):
            for message in consumer.consume(500, 1.0):
                partition, offset = message.partition(), message.offset()
                if message.error() is None and partition is not None and offset is not None:
                    assert offset == len(log[partition]), f"partition {partition} has no offset {len(log[partition])}"
                    log[partition].append(message.value() or b"")
    finally:
        consumer.close()
    return {partition: values[: ends[partition]] for partition, values in log.items()}


def event_findings(doors: Doors, ledger: Ledger, tenants: tuple[str, ...]) -> list[str]:
    """Acknowledged means stored, stored means sent, and nothing is there twice or under another's name."""
    rows = doors.operator_rows(
        "SELECT tenant_id, agent_id, spool_id, seq, count(*) FROM iceberg.clawtrace.events "
        f"WHERE tenant_id IN ({_quoted(tenants)}) GROUP BY 1, 2, 3, 4"
    )
    stored: dict[EventKey, int] = {(row[0], row[1], row[2], row[3]): row[4] for row in rows}
    twice = [key for key, count in stored.items() if count > 1]
    return [
        *_told("acknowledged events that are not stored", ledger.sent(tenants, acked_only=True) - stored.keys()),
        *_told("stored events that nobody sent under that name", stored.keys() - ledger.sent(tenants)),
        *_told("events that are stored twice", twice),
    ]


def total_findings(doors: Doors, runs: list[Run], tenants: tuple[str, ...]) -> list[str]:
    """Per agent: model calls, tool calls and tokens are those that the lines of its runs add up to."""
    wanted: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        expected = run.expected
        sums = wanted.setdefault((run.tenant_id, run.agent_id), Counter())
        sums["model_calls"] += len(expected.model_call_spans)
        sums["tool_calls"] += len(expected.tool_call_ids)
        sums.update({name: expected.tokens[name] for name in TOKENS})
    sums_of_tokens = ", ".join(f"coalesce(sum({name}), 0)" for name in TOKENS)
    rows = doors.operator_rows(
        "SELECT tenant_id, agent_id, count_if(kind = 'model_call'), count_if(kind = 'tool_call'), "
        f"{sums_of_tokens} FROM iceberg.clawtrace.spans WHERE tenant_id IN ({_quoted(tenants)}) GROUP BY 1, 2"
    )
    names = ("model_calls", "tool_calls", *TOKENS)
    found = {(row[0], row[1]): Counter(dict(zip(names, row[2:], strict=True))) for row in rows}
    return [
        f"{tenant_id}/{agent_id} has {dict(found.get((tenant_id, agent_id), {}))}, its runs add up to {dict(sums)}"
        for (tenant_id, agent_id), sums in wanted.items()
        if found.get((tenant_id, agent_id), Counter()) != sums
    ]


def roll_up_findings(doors: Doors, tenants: tuple[str, ...]) -> list[str]:
    """Each trace row is what SQL makes of the spans of that trace."""
    sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in TOKENS)
    same = " AND ".join(f"s.{name} = t.{name}" for name in TOKENS)
    rows = doors.operator_rows(
        f"""
        WITH s AS (
            SELECT tenant_id, agent_id, trace_id, count(*) AS num_spans, sum(cost_usd) AS cost_usd, {sums},
                   count_if(kind = 'run') AS num_runs, count_if(kind = 'model_call') AS num_model_calls,
                   count_if(kind = 'tool_call') AS num_tool_calls
            FROM iceberg.clawtrace.spans WHERE tenant_id IN ({_quoted(tenants)}) GROUP BY 1, 2, 3
        ), t AS (SELECT * FROM iceberg.clawtrace.traces WHERE tenant_id IN ({_quoted(tenants)}))
        SELECT coalesce(s.tenant_id, t.tenant_id), coalesce(s.trace_id, t.trace_id), s.num_spans, t.num_spans,
               s.cost_usd, t.cost_usd
        FROM s FULL JOIN t
          ON s.tenant_id = t.tenant_id AND s.agent_id = t.agent_id AND s.trace_id = t.trace_id
        WHERE NOT coalesce(
            s.num_spans = t.num_spans AND s.num_runs = t.num_runs AND s.num_model_calls = t.num_model_calls
            AND s.num_tool_calls = t.num_tool_calls AND {same} AND s.cost_usd IS NOT DISTINCT FROM t.cost_usd, false)
        """
    )
    return _told("traces that differ from the sum of their spans", [tuple(row) for row in rows])


def revision_findings(doors: Doors, tenants: tuple[str, ...]) -> list[str]:
    """Below the views: not one revision is in a table twice."""
    found = []
    for table, key in KEYS.items():
        rows = doors.operator_rows(
            f"SELECT tenant_id, {key}, count(*) FROM iceberg.silver.{table} "
            f"WHERE tenant_id IN ({_quoted(tenants)}) GROUP BY tenant_id, {key} HAVING count(*) > 1"
        )
        found += _told(f"revisions that silver.{table} holds twice", [tuple(row) for row in rows])
    return found


def calm_findings(doors: Doors, log: Mapping[int, list[bytes]], tenants: tuple[str, ...]) -> list[str]:
    """Every revision that the log leads to is in the tables, with those values, and no other."""
    settings = StitcherSettings(home=doors.stack.home)
    calm = stitch_calmly(log, settings, tenants)
    found = []
    for tenant_id in tenants:
        wanted = _calm_rows(calm[tenant_id])
        stored = _stored_rows(doors, tenant_id)
        # A tick may have come after the log was read: what it led to is not compared.
        newest = max((len(values) for values in log.values()), default=0)
        for table, rows in wanted.items():
            ours = {row for row in stored[table] if row[-1] & _OFFSET_MASK < newest}
            found += _told(f"rows of {tenant_id} that silver.{table} lacks", rows - ours)
            agents_ends = {row[0]: max(r[-1] for r in rows if r[0] == row[0]) for row in rows}
            extra = {row for row in ours - rows if row[-1] <= agents_ends.get(row[0], -1)}
            found += _told(f"rows of {tenant_id} that silver.{table} has and the log does not lead to", extra)
    return found


def letter_findings(doors: Doors, tenants: tuple[str, ...]) -> list[str]:
    """No record of these tenants was refused: all that is sent here can be understood."""
    topic = EVENTS.dead_letter.name
    letters = doors.records_since(dict.fromkeys(doors.end_offsets([topic]), 0))
    told = [
        (tenant_id.decode(), dict(letter.headers() or []))
        for letter in letters
        if (tenant_id := (letter.key() or b"").partition(b"|")[0]).decode() in tenants
    ]
    return _told("records that became dead letters", told)


def state_findings(doors: Doors) -> list[str]:
    """The stitcher's local files are the changelog, as far as they go."""
    changelog: dict[int, list[tuple[int, bytes | None, bytes | None]]] = {}
    for record in doors.records_since(dict.fromkeys(doors.end_offsets([STATE.name]), 0)):
        place = changelog.setdefault(record.partition() or 0, [])
        place.append((record.offset() or 0, record.key(), record.value()))
    return [
        finding
        for partition, records in sorted(changelog.items())
        for finding in file_findings(doors.stack.home, partition, records)
    ]


def _can_read(doors: Doors) -> bool:
    try:
        return bool(doors.operator_rows('SELECT count(*) FROM iceberg.silver."events$properties"'))
    except (TrinoQueryError, TrinoConnectionError):
        return False


def _calm_rows(calm: Calm) -> dict[str, set[tuple[Any, ...]]]:
    return {
        "spans": {
            (
                agent_id, span.trace_id, span.span_id, span.parent_span_id, span.status, span.input_tokens,
                span.cache_read_tokens, span.cache_write_tokens, span.output_tokens, _money(span.cost_usd), rev,
            )
            for agent_id, rev, span in calm.spans
        },
        "traces": {
            (
                agent_id, trace.trace_id, trace.status, trace.num_spans, trace.is_open, trace.input_tokens,
                trace.output_tokens, _money(trace.cost_usd), rev,
            )
            for agent_id, rev, trace in calm.traces
        },
        "alerts": {
            (agent_id, alert.alert_id, alert.rule, alert.state, alert.trace_id, rev)
            for agent_id, rev, alert in calm.alerts
        },
    }  # fmt: skip


_COLUMNS: Final = {
    "spans": "agent_id, trace_id, span_id, parent_span_id, status, input_tokens, cache_read_tokens, "
    "cache_write_tokens, output_tokens, cost_usd, rev",
    "traces": "agent_id, trace_id, status, num_spans, is_open, input_tokens, output_tokens, cost_usd, rev",
    "alerts": "agent_id, alert_id, rule, state, trace_id, rev",
}


def _stored_rows(doors: Doors, tenant_id: str) -> dict[str, set[tuple[Any, ...]]]:
    return {
        table: {
            tuple(_money(value) if isinstance(value, Decimal) else value for value in row)
            for row in doors.operator_rows(
                f"SELECT {columns} FROM iceberg.silver.{table} WHERE tenant_id = '{tenant_id}'"
            )
        }
        for table, columns in _COLUMNS.items()
    }


def _money(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.quantize(_FINEST)


def _quoted(tenants: tuple[str, ...]) -> str:
    return ", ".join(f"'{tenant_id}'" for tenant_id in tenants)


def _told(what: str, those: Iterable[Any]) -> list[str]:
    found = sorted(those, key=repr)
    if not found:
        return []
    return [f"{len(found)} {what}: {', '.join(map(repr, found[:SHOWN]))}{' …' if len(found) > SHOWN else ''}"]
