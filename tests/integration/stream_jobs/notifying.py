"""A notifier with topics and a database of its own, that can be killed, and alerts for it."""

import json
import time
from typing import Any, ClassVar

from stream_jobs.contracts.alert import Alert, AlertBatch, AlertSeverity, AlertState
from stream_jobs.contracts.topics import ALERTS, BUDGET_ALERTS, LEARN_ALERTS
from stream_jobs.processors.due import first_part_of
from tests.integration.stream_jobs.harness import DEADLINE_S, wait_until
from tests.integration.stream_jobs.installed import Installed

TENANT = "notifytest"


class Notifying(Installed):
    """Topics under a prefix, a database, and notifiers as processes."""

    process_name = "notifier"
    specs = (ALERTS, BUDGET_ALERTS, LEARN_ALERTS)
    own_environment: ClassVar[dict[str, str]] = {
        "CLAWTRACE_NOTIFY_ALLOWED_NETWORKS": "127.0.0.1/32",
        "CLAWTRACE_NOTIFY_LOOK_SECONDS": "0.1",
        "CLAWTRACE_NOTIFY_STANDBY_SECONDS": "0.1",
        "CLAWTRACE_NOTIFY_GROUP_SECONDS": "0.3",
        "CLAWTRACE_NOTIFY_FIRST_WAIT_SECONDS": "0.1",
        "CLAWTRACE_NOTIFY_MAX_TRIES": "3",
        "CLAWTRACE_NOTIFY_BASE_URL": "http://clawtrace.test",
    }

    def add(self, kind: str, name: str, *options: str) -> None:
        """Add a channel by the command."""
        done = self.clawtrace("channels", "add", kind, name, "--tenant", TENANT, *options)
        assert done.returncode == 0, done.stderr

    def listed(self) -> dict[str, dict[str, Any]]:
        """Channels by name, as the command lists them."""
        done = self.clawtrace("channels", "list", "--json")
        assert done.returncode == 0, done.stderr
        return {it["name"]: it for it in json.loads(done.stdout)}

    def alert(
        self,
        number: int,
        state: AlertState,
        *,
        topic: str = ALERTS.name,
        partition: int = 0,
        run_id: str = "r1",
        severity: AlertSeverity = "critical",
        tenant_id: str = TENANT,
    ) -> tuple[str, int, str]:
        """Put one change of an alert into a topic, as its writer does; returns alert, rev and state."""
        rev = self.next_rev(topic, partition)
        one = Alert(
            tenant_id=tenant_id,
            agent_id="laptop",
            alert_id=f"{number:032x}",
            rule="budget" if topic == BUDGET_ALERTS.name else "run_cost",
            severity=severity,
            state=state,
            message=f"Alert {number} is {state}.",
            labels={"run_id": run_id},
            at_us=time.time_ns() // 1000,
            trace_id="t1",
            rev=rev,
        )
        # Every other one as a tick leads to it: its parts are numbered far above 32 bits.
        part = first_part_of(f"{tenant_id}|laptop".encode()) if rev % 2 else 0
        batch = AlertBatch(tenant_id=tenant_id, agent_id="laptop", rev=rev, part=part, alerts=[one])
        self.send(topic, partition, batch)
        return one.alert_id, rev, state

    def num_read(self) -> int:
        """Records that were taken up."""
        return self.count("SELECT coalesce(sum(next_offset), 0) FROM control.notifier_marks")

    def wait_done(self, within_s: float = DEADLINE_S) -> None:
        """Wait until all records are taken up and no message waits."""
        self.flush()
        wait_until(lambda: self.num_read() == self.num_put, "all is read", within_s, self.log)
        wait_until(
            lambda: self.count("SELECT count(*) FROM control.channel_messages WHERE state = 'waiting'") == 0,
            "all is told",
            within_s,
            self.log,
        )
