"""Gateways that stop, die and come back, and everything that is not a plain message."""

import json
from collections.abc import Callable

from tests.integration.doors import Doors, wait_until
from tests.openclaw.conftest import Install
from tests.openclaw.relay import Relay

MAX_BATCH_EVENTS = 500


def begin_slow_tool(install: Install, label: str, seconds: int) -> None:
    """Send a message that leads to a slow tool and wait until the tool runs."""
    install.host.ask(f"[[scenario:slow-tool seconds={seconds} label={label}]] Please.", label)
    begun = install.host.state / f"workspace/{label}.begun"
    wait_until(begun.exists, lambda is_there: is_there, "the tool runs")


def test_abort_from_outside(main: Install, label: str) -> None:
    begin_slow_tool(main, label, 60)
    main.host.call("sessions.abort", key=f"agent:main:{label}")
    spans = main.balanced(label)
    run = next(span for span in spans if span["kind"] == "run")
    assert run["status"] == "error"
    assert len(main.entries(label)) == 1


def test_cron_run(main: Install, label: str) -> None:
    message = f"[[scenario:multi-tool label={label}]] Please."
    job = main.host.must(
        "cron", "add", "0 7 1 1 *", message, "--name", label, "--session", "isolated", "--no-deliver", "--json"
    )
    main.host.must("cron", "run", json.loads(job)["id"])
    wait_until(lambda: len(main.entries(label)), lambda found: found == 5, "the job ran")
    spans = main.balanced(label)
    assert {span["session_key"].split(":")[2] for span in spans if span["kind"] == "run"} == {"cron"}


def test_heartbeat(main: Install, label: str) -> None:
    main.host.must("system", "event", "--mode", "now", "--text", f"[[scenario:heartbeat label={label}]]")
    wait_until(lambda: len(main.entries(label)), lambda found: found >= 1, "the heartbeat ran")
    spans = main.balanced(label)
    trace_id = spans[0]["trace_id"]
    rows = main.doors.sql(main.read_key, f"SELECT category FROM traces WHERE trace_id = '{trace_id}'")
    assert [row["category"] for row in rows] == ["heartbeat"]


def test_compaction_and_memory_flush(main: Install, label: str) -> None:
    for tokens in (30_000, 42_000, 42_000):
        message = f"[[scenario:long label={label} words=6000 input={tokens}]] Tell me a long story."
        assert "lorem ipsum" in main.host.ask(message, label, "small").result(60)
    wait_until(
        lambda: {entry.scenario for entry in main.entries(label)},
        lambda found: found == {"long", "memory-flush", "compaction"},
        "the session was compacted",
    )
    spans = main.balanced(label)
    compactions = [span for span in spans if span["kind"] == "compaction"]
    assert compactions
    for compaction in compactions:
        calls = [span for span in spans if span["parent_span_id"] == compaction["span_id"]]
        assert [call["kind"] for call in calls] == ["model_call"]
        assert calls[0]["input_tokens"] > 0


def test_gateway_stop_loses_nothing(main: Install, label: str) -> None:
    reply = main.host.ask(f"[[scenario:multi-tool label={label}]] Please.", label)
    assert "the code is alpha-42" in reply.result(60)
    took_s = main.host.stop_gateway()
    print(f"\nthe gateway stopped within {took_s:.1f} s")
    main.balanced(label)
    main.all_events_arrived()
    main.host.start_gateway()


def test_gateway_killed_in_the_middle_of_a_run(main: Install, label: str) -> None:
    begin_slow_tool(main, label, 10)
    main.host.kill_gateway()
    main.host.start_gateway()
    after = f"{label}-after"
    assert "the code" in main.host.ask(f"[[scenario:multi-tool label={after}]] Please.", after).result(60)
    main.balanced(after)
    main.balanced(label, was_killed=True)
    main.all_events_arrived()


def test_server_away_while_the_gateway_is_killed(
    make_install: Callable[..., Install], doors: Doors, label: str
) -> None:
    relay = Relay(int(doors.stack.gateway_url.rsplit(":", 1)[1]))
    install = make_install("cutoff", relay.url)
    try:
        install.host.start_gateway()
        relay.go_away()
        labels = [f"{label}-{number}" for number in range(3)]
        for number, session in enumerate(labels):
            reply = install.host.ask(f"[[scenario:busy tools=30 label={session}]] Please.", session)
            assert "All steps are done." in reply.result(90)
            if number == 1:
                install.host.kill_gateway()
                install.host.start_gateway()
        waiting = wait_until(
            lambda: install.host.plugin_status()["spool"]["num_waiting"],
            lambda found: found > MAX_BATCH_EVENTS,
            "more than a batch waits",
        )
        relay.come_back()
        install.balanced(*labels, within_s=90.0)
        install.all_events_arrived()
        sender = install.host.plugin_status()["sender"]
        print(f"\n{waiting} events waited and went out in {sender['batches']} batches")
        assert sender["batches"] > 1
        assert sender["retries"] > 0
    finally:
        install.host.close()
        relay.close()


def test_local_run(make_install: Callable[..., Install], label: str) -> None:
    install = make_install("local")
    printed = install.host.say(f"[[scenario:multi-tool label={label}]] Please.", label, "--local")
    assert "the code is alpha-42" in printed
    install.balanced(label)
