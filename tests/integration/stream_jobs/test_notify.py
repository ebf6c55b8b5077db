"""The notifier over a real broker and a real Postgres: killed, doubled, refused; and what people do to channels."""

import json
import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from infra.runtime.settings import StackSettings
from stream_jobs.contracts.alert import AlertState
from stream_jobs.contracts.topics import ALERTS, BUDGET_ALERTS, LEARN_ALERTS
from tests.integration.stream_jobs.harness import DEADLINE_S, wait_until
from tests.integration.stream_jobs.notifying import TENANT, Notifying
from tests.unit.stream_jobs.notify.making import WEBHOOK_SECRET
from tests.unit.stream_jobs.notify.servers import (
    Alertmanager,
    HttpServer,
    PagerDuty,
    Slack,
    Taken,
    http_server,
    mail_server,
)

pytestmark = pytest.mark.kafka


@pytest.fixture
def notifying(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Notifying]:
    """Topics and a database of the test's own, on a stack that runs already or on the tests' stack."""
    if home := os.environ.get("CLAWTRACE_TEST_HOME"):
        stack = StackSettings(home=Path(home), port_base=int(os.environ["CLAWTRACE_TEST_PORT_BASE"]))
    else:
        stack = request.getfixturevalue("stack")
    one = Notifying(stack, tmp_path / "home")
    try:
        yield one
    finally:
        one.remove()


def add_webhook(notifying: Notifying, server: HttpServer, *options: str, name: str = "hook") -> None:
    notifying.add("webhook", name, "--url", f"{server.url}/hook", "--secret", WEBHOOK_SECRET, *options)


def changes(taken: list[Taken]) -> list[tuple[str, str]]:
    """Alert and state of everything a webhook took, in order."""
    return [(one["fingerprint"], one["annotations"]["state"]) for it in taken for one in it.json()["alerts"]]


def test_killed_again_and_again_every_change_arrives_under_one_id(notifying: Notifying) -> None:
    chooser = random.Random(2)
    wanted: list[tuple[str, str]] = []
    with http_server() as server:
        add_webhook(notifying, server)
        states: dict[int, AlertState] = {}
        for kill in range(8):
            process = notifying.start()
            before = len(server.taken)
            for number in range(30):
                which = chooser.randrange(6)
                states[which] = "ok" if states.get(which) == "alert" else "alert"
                topic = (ALERTS, BUDGET_ALERTS, LEARN_ALERTS)[which % 3].name
                alert_id, _, state = notifying.alert(which, states[which], topic=topic, run_id=f"r{kill}-{which}")
                wanted.append((alert_id, state))
                if number == 15:
                    notifying.flush()
                    wait_until(lambda before=before: len(server.taken) > before, "it tells", log=notifying.log)
                elif number > 15:
                    notifying.flush()
            process.send_signal(signal.SIGKILL)
            process.wait(DEADLINE_S)
            notifying.send_again(chooser.randrange(1, 20))
        notifying.start()
        notifying.wait_done()
    by_id: dict[str, list[bytes]] = defaultdict(list)
    for it in server.taken:
        by_id[it.headers["webhook-id"]].append(it.body)
    repeated = sum(len(bodies) - 1 for bodies in by_id.values())
    assert all(len(set(bodies)) == 1 for bodies in by_id.values()), "one id, one message"
    first_of_each = {it.headers["webhook-id"]: it for it in reversed(server.taken)}
    once = sorted(first_of_each.values(), key=server.taken.index)
    arrived: dict[str, list[str]] = defaultdict(list)
    for alert_id, state in changes(once):
        arrived[alert_id].append(state)
    sent: dict[str, list[str]] = defaultdict(list)
    for alert_id, state in wanted:
        sent[alert_id].append(state)
    assert arrived == sent, "nothing is lost or told twice, and of each alert all comes in order"
    print(f"8 kills, {len(wanted)} changes in {len(by_id)} messages, {repeated} of them sent again")


def test_killed_while_the_receiver_has_not_answered_it_is_told_again_under_the_same_id(notifying: Notifying) -> None:
    has_it, may_answer = threading.Event(), threading.Event()

    def answer(taken: Taken) -> tuple[int, bytes]:
        has_it.set()
        may_answer.wait(DEADLINE_S)
        return 200, b""

    with http_server(answer) as server:
        add_webhook(notifying, server)
        process = notifying.start()
        notifying.alert(1, "alert")
        notifying.flush()
        assert has_it.wait(DEADLINE_S), notifying.log()
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        may_answer.set()
        notifying.start()
        notifying.wait_done()
        wait_until(lambda: len(server.taken) == 2, "both were answered", log=notifying.log)
        assert len({(it.headers["webhook-id"], it.body) for it in server.taken}) == 1


def test_two_notifiers_of_which_one_reads_and_both_tell(notifying: Notifying) -> None:
    with http_server() as server:
        add_webhook(notifying, server)
        first = notifying.start()
        wait_until(notifying.is_ready, "the first reads", log=notifying.log)
        second = notifying.start()
        notifying.alert(1, "alert")
        notifying.wait_done()
        assert not notifying.is_ready(), "the second stands by"
        first.send_signal(signal.SIGKILL)
        wait_until(notifying.is_ready, "the second reads", log=notifying.log)
        notifying.alert(1, "ok")
        notifying.wait_done()
        assert second.poll() is None
        assert [state for _, state in changes(server.taken)] == ["alert", "ok"]
        second.send_signal(signal.SIGTERM)
        assert second.wait(DEADLINE_S) == 0


def test_alerts_of_one_run_come_in_one_message(notifying: Notifying) -> None:
    with http_server(Slack()) as server:
        notifying.environment["CLAWTRACE_NOTIFY_GROUP_SECONDS"] = "3"
        notifying.add("slack", "team", "--url", f"{server.url}/services/T0/B0/very-secret")
        for number in range(4):
            notifying.alert(number, "alert")
        notifying.alert(9, "alert", run_id="another")
        # All are there before it reads the first, however long it took to write them.
        notifying.flush()
        notifying.start()
        notifying.wait_done()
        blocks = [it.json()["blocks"] for it in server.taken]
        assert sorted(sum(block["type"] == "section" for block in one) for one in blocks) == [1, 4]


def test_a_server_that_fails_is_tried_again_and_then_given_up(notifying: Notifying) -> None:
    says = [500]
    with http_server(lambda _: (says[0], b"")) as server:
        add_webhook(notifying, server)
        notifying.start()
        notifying.alert(1, "alert")
        notifying.wait_done()
        assert len(server.taken) == 3, "as many tries as there are"
        assert len({it.headers["webhook-id"] for it in server.taken}) == 1
        (dead,) = json.loads(notifying.clawtrace("channels", "dead", "--json").stdout)
        assert (dead["reason"], dead["num_tries"], dead["channel"]) == ("answered with status 500", 3, "hook")
        says[0] = 404
        notifying.alert(2, "alert", run_id="r2")
        notifying.wait_done()
        assert len(server.taken) == 4, "no try can help: one is enough"
        assert notifying.listed()["hook"]["num_dead"] == 2
        says[0] = 200
        assert "2 are tried anew" in notifying.clawtrace("channels", "dead", "--retry").stdout
        notifying.wait_done()
        assert notifying.listed()["hook"]["num_dead"] == 0
        assert dead["message_id"] in {it.headers["webhook-id"] for it in server.taken[-2:]}
        assert len(server.taken) == 6
        # What we cannot write ourselves does not keep the others.
        with notifying.engine.begin() as connection:
            connection.execute(sa.text("UPDATE control.channel_deliveries SET told = '{'"))
            connection.execute(sa.text("UPDATE control.channel_messages SET state = 'waiting'"))
        notifying.alert(3, "alert", run_id="r3")
        notifying.wait_done()
        assert changes(server.taken)[-1] == (f"{3:032x}", "alert")
        dead = json.loads(notifying.clawtrace("channels", "dead", "--json").stdout)
        assert {it["reason"] for it in dead} == {"the message cannot be written (DecodeError); the log says more"}


def test_a_dead_letter_does_not_bring_an_old_state_back(notifying: Notifying) -> None:
    pagerduty = PagerDuty()
    refused: list[str] = ["trigger"]

    def answer(taken: Taken) -> tuple[int, bytes]:
        return (400, b"") if taken.json()["event_action"] in refused else pagerduty(taken)

    with http_server(answer) as server:
        notifying.add("pagerduty", "pager", "--url", server.url, "--routing-key", pagerduty.key)
        notifying.start()
        notifying.alert(1, "alert")
        notifying.alert(1, "ok")
        still, *_ = notifying.alert(2, "alert")
        notifying.wait_done()
        assert notifying.listed()["pager"]["num_dead"] == 2
        refused.clear()
        assert "1 are tried anew" in notifying.clawtrace("channels", "dead", "--retry").stdout
        notifying.wait_done()
        assert pagerduty.incidents == {still: "triggered"}


def test_filters_and_recovery(notifying: Notifying) -> None:
    with http_server() as server:
        add_webhook(notifying, server, "--min-severity", "critical", "--rule", "run_cost", "--agent", "laptop")
        notifying.start()
        notifying.alert(1, "alert", severity="warning")
        notifying.alert(1, "ok", severity="warning")
        notifying.alert(2, "alert", topic=BUDGET_ALERTS.name)
        notifying.alert(3, "alert", tenant_id="another1")
        notifying.alert(4, "warn")
        # Who has heard of it hears how it goes on, and its end.
        notifying.alert(4, "alert", severity="warning")
        notifying.alert(4, "ok", severity="warning")
        notifying.wait_done()
        assert changes(server.taken) == [(f"{4:032x}", state) for state in ("warn", "alert", "ok")]
        notifying.put(ALERTS.name, 1, b"{")
        notifying.alert(5, "alert", partition=1)
        notifying.wait_done()
        assert changes(server.taken)[-1] == (f"{5:032x}", "alert"), "what cannot be read does not stop it"


def test_a_channel_hears_nothing_of_before_it_was_made(notifying: Notifying) -> None:
    with http_server() as server:
        notifying.alert(1, "alert")
        notifying.flush()
        # More than clocks may differ.
        written_at = time.time()
        wait_until(lambda: time.time() > written_at + 3, "old enough")
        add_webhook(notifying, server)
        notifying.start()
        notifying.alert(2, "alert")
        notifying.wait_done()
        assert changes(server.taken) == [(f"{2:032x}", "alert")]


def test_told_again_while_it_lasts_until_somebody_acknowledges(notifying: Notifying) -> None:
    pagerduty = PagerDuty()
    with http_server() as chat, http_server(pagerduty) as pager:
        add_webhook(notifying, chat, "--renotify-minutes", "1")
        notifying.add("pagerduty", "pager", "--url", f"{pager.url}/v2/enqueue", "--routing-key", pagerduty.key)
        # A minute is the least that people can set; the test cannot wait that long.
        with notifying.engine.begin() as connection:
            connection.execute(sa.text("UPDATE control.channels SET repeat_seconds = 1 WHERE name = 'hook'"))
        notifying.start()
        alert_id, *_ = notifying.alert(1, "alert")
        wait_until(lambda: len(chat.taken) >= 3, "told three times", log=notifying.log)
        # Another repeat may come at any moment.
        taken = list(chat.taken)
        told_as = [it.json()["alerts"][0]["annotations"]["told_as"] for it in taken]
        assert told_as[:3] == ["change", "repeat", "repeat"]
        assert len({it.headers["webhook-id"] for it in taken}) == len(taken)
        wait_until(lambda: pagerduty.incidents == {alert_id: "triggered"}, "the pager rings", log=notifying.log)
        with notifying.engine.begin() as connection:
            # As the API makes it.
            connection.execute(
                sa.text(
                    "CREATE TABLE IF NOT EXISTS control.alert_marks (tenant_id text, alert_id text, "
                    "acked_at timestamptz, acked_by text, snoozed_until timestamptz, snoozed_by text, "
                    "PRIMARY KEY (tenant_id, alert_id))"
                )
            )
            connection.execute(
                sa.text(
                    "INSERT INTO control.alert_marks (tenant_id, alert_id, acked_at, acked_by) "
                    "VALUES (:tenant, :alert, clock_timestamp(), 'ann')"
                ),
                {"tenant": TENANT, "alert": alert_id},
            )
        wait_until(lambda: pagerduty.incidents == {alert_id: "acknowledged"}, "acknowledged", log=notifying.log)
        notifying.wait_done()
        due = "SELECT count(*) FROM control.channel_alerts WHERE acked_at IS NULL AND next_repeat_at IS NOT NULL"
        assert notifying.count(due) == 0, "no repeat is due any more"
        notifying.alert(1, "ok")
        notifying.wait_done()
        assert pagerduty.incidents == {alert_id: "resolved"}
        assert pagerduty.num_opened == 1
        assert chat.taken[-1].json()["status"] == "resolved"


def test_alertmanager_hears_of_an_alert_while_it_lasts(notifying: Notifying) -> None:
    alertmanager = Alertmanager()
    with http_server(alertmanager) as server:
        notifying.add("alertmanager", "am", "--url", server.url)
        with notifying.engine.begin() as connection:
            connection.execute(sa.text("UPDATE control.channels SET repeat_seconds = 1"))
        notifying.start()
        wait_until(notifying.is_ready, "it reads", log=notifying.log)
        started_s = time.monotonic()
        notifying.alert(1, "alert")
        notifying.flush()
        wait_until(lambda: bool(server.taken), "sent", log=notifying.log)
        print(f"an alert that waits for no group is told after {(time.monotonic() - started_s) * 1000:.0f} ms")
        wait_until(lambda: len(server.taken) >= 3, "sent again", log=notifying.log)
        (active,) = alertmanager.active(datetime.now(UTC))
        assert (active["alertname"], active["severity"], active["agent_id"]) == ("run_cost", "critical", "laptop")
        notifying.alert(1, "ok", severity="info")
        wait_until(lambda: not alertmanager.active(datetime.now(UTC)), "it has ended", log=notifying.log)


def test_people_add_try_and_remove_channels(notifying: Notifying, tmp_path: Path) -> None:
    pagerduty = PagerDuty()
    with http_server() as server, http_server(pagerduty) as pager, mail_server() as mail:
        key = tmp_path / "key"
        key.write_text(WEBHOOK_SECRET + "\n")
        notifying.add("webhook", "hook", "--url", f"{server.url}/very-secret-path", "--secret", f"@{key}")
        notifying.add("pagerduty", "pager", "--url", pager.url, "--routing-key", pagerduty.key)
        notifying.add("email", "mail", "--host", "127.0.0.1", "--port", str(mail.port), "--security", "none",
                      "--sender", "claw@example.com", "--to", "ann@example.com")  # fmt: skip
        for name in ("hook", "pager", "mail"):
            tried = notifying.clawtrace("channels", "test", name)
            assert tried.returncode == 0, tried.stderr
        assert server.taken[0].json()["alerts"][0]["annotations"]["summary"].startswith("This is a test")
        assert list(pagerduty.incidents.values()) == ["resolved"]
        assert mail.mails[0]["To"] == "ann@example.com"
        shown = notifying.clawtrace("channels", "list").stdout + json.dumps(notifying.listed())
        assert "very-secret" not in shown
        assert WEBHOOK_SECRET not in shown
        assert pagerduty.key not in shown
        assert (notifying.home / "secrets/notify-key").stat().st_mode & 0o777 == 0o600
        with notifying.engine.connect() as connection:
            stored = repr(connection.execute(sa.text("SELECT * FROM control.channels")).all())
        assert "very-secret" not in stored
        assert pagerduty.key not in stored
        removed = notifying.clawtrace("channels", "remove", "hook")
        assert removed.returncode == 0, removed.stderr
        assert set(notifying.listed()) == {"pager", "mail"}
        assert "there is no channel hook" in notifying.clawtrace("channels", "test", "hook").stderr
    gone = notifying.clawtrace("channels", "test", "pager")
    assert gone.returncode == 1
    assert "did not answer properly" in gone.stderr


def test_what_cannot_be_is_refused_with_the_name_of_the_field(notifying: Notifying) -> None:
    for options, said in (
        (("pigeon", "a", "--tenant", TENANT), "kind: use webhook"),
        (("slack", "a", "--tenant", TENANT), "url: needed"),
        (("slack", "A b", "--tenant", TENANT, "--url", "https://example.com/x"), "name: "),
        (("slack", "a", "--tenant", "x", "--url", "https://example.com/x"), "tenant_id: "),
        (("slack", "a", "--tenant", TENANT, "--url", "ftp://example.com/x"), "url: this is no address"),
        (("slack", "a", "--tenant", TENANT, "--url", "http://10.0.0.1/"), "url: 10.0.0.1 leads to an address"),
        (("slack", "a", "--tenant", TENANT, "--url", "http://169.254.169.254/"), "not allowed"),
        (("webhook", "a", "--tenant", TENANT, "--url", "http://127.0.0.1/", "--secret", "c2hvcnQ="), "secret: use 24"),
        (("slack", "a", "--tenant", TENANT, "--url", "http://127.0.0.1/", "--rule", "nothing"), "rules"),
        (("slack", "a", "--tenant", TENANT, "--url", "http://127.0.0.1/", "--renotify-minutes", "-1"), "renotify"),
        (("slack", "a", "--tenant", TENANT, "--url", "@/no/such/file"), "url: the file"),
        (("email", "a", "--tenant", TENANT, "--host", "10.0.0.1", "--sender", "a@b.c", "--to", "x"), "to.0: "),
    ):
        done = notifying.clawtrace("channels", "add", *options)
        assert done.returncode == 1, options
        assert said in done.stderr, (said, done.stderr)
        assert "Traceback" not in done.stderr
    assert notifying.listed() == {}
