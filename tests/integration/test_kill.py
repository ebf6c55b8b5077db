"""Processes of ours are killed while runs come in; afterwards the tables are compared with the sender's ledger."""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.expected import expected_of
from tests.integration.doors import Doors, spool_id_of, wait_until, wire_batch
from tests.load import RunTemplate

TENANT = "killtest"
SCENARIO = "multi-tool"
NUM_RUNS = 48
KILL_EVERY_RUNS = 6
SEED = 20261123
VICTIMS = ("gateway", "stitcher", "sink")
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


def send_until_acknowledged(doors: Doors, key: str, body: dict[str, Any]) -> None:
    """Send a batch as the plugin does: again and again, unchanged, until the gateway has taken it."""

    def status() -> int:
        try:
            return doors.send(key, body).status_code
        except httpx2.TransportError:
            return 0

    wait_until(status, lambda found: found == 202, "batch acknowledged")


def pid_of(clawtrace: Callable[..., subprocess.CompletedProcess[str]], name: str) -> int | None:
    """Process id of a part of the stack, None while it is down."""
    processes = json.loads(clawtrace("status", "--json").stdout)["processes"]
    pid: int | None = next(process["pid"] for process in processes if process["name"] == name)
    return pid


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_stored_twice(
    doors: Doors, make_key: Callable[..., str], clawtrace: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ingest, read = make_key(TENANT, "agent", "ingest"), make_key(TENANT, "agent", "read")
    template, chooser = RunTemplate(SCENARIO), random.Random(SEED)
    num_acked = 0
    killed = []
    for number in range(NUM_RUNS):
        name = f"{TENANT}-{number}"
        lines = template.lines(name)
        cut = chooser.randrange(1, len(lines))
        for part, first_seq in ((lines[:cut], 0), (lines[cut:], cut)):
            send_until_acknowledged(doors, ingest, wire_batch(part, spool_id_of(name), first_seq))
            num_acked += len(part)
        if number % KILL_EVERY_RUNS == KILL_EVERY_RUNS - 1:
            victim = chooser.choice(VICTIMS)
            if (pid := pid_of(clawtrace, victim)) is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(victim)
    assert killed
    wait_until(lambda: clawtrace("status", "--json").returncode, lambda code: code == 0, f"up after killing {killed}")
    doors.wait_until_stored()

    expected = expected_of(SCENARIO)
    (events,) = doors.sql(read, "SELECT count(*) AS num, count(DISTINCT event_id) AS num_distinct FROM events")
    assert events == {"num": num_acked, "num_distinct": num_acked}
    sums = ", ".join(f"sum({name}) AS {name}" for name in TOKENS)
    (calls,) = doors.sql(read, f"SELECT count(*) AS num, {sums} FROM spans WHERE kind = 'model_call'")
    assert calls["num"] == NUM_RUNS * len(expected.model_call_spans)
    assert {name: calls[name] for name in TOKENS} == {name: NUM_RUNS * expected.tokens[name] for name in TOKENS}
    (traces,) = doors.sql(read, f"SELECT count(*) AS num, {sums}, count_if(is_open) AS num_open FROM traces")
    assert traces["num"] == NUM_RUNS
    assert traces["num_open"] == 0
    assert {name: traces[name] for name in TOKENS} == {name: NUM_RUNS * expected.tokens[name] for name in TOKENS}
    # Below the views: not one revision is in a table twice, whoever died while writing it.
    for table, key in (("spans", "trace_id, span_id, rev"), ("traces", "trace_id, rev")):
        question = (
            f"SELECT count(*), count(DISTINCT ROW({key})) FROM iceberg.silver.{table} WHERE tenant_id = '{TENANT}'"
        )
        num_rows, num_distinct = doors.operator_rows(question)[0]
        assert num_rows == num_distinct, f"silver.{table} holds a revision twice; killed: {killed}"
