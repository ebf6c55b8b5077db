"""What was never captured comes back from OpenClaw's own transcripts, and what was captured is not doubled."""

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

from tests.integration.doors import Doors
from tests.openclaw.balance import differences
from tests.openclaw.conftest import Install
from tests.openclaw.relay import Relay

Clawtrace = Callable[..., subprocess.CompletedProcess[str]]


def import_transcripts(install: Install, clawtrace: Clawtrace) -> dict[str, Any]:
    """Run ``clawtrace import openclaw`` on the home of an install; what it says it did."""
    keys = ("--key", install.ingest_key, "--read-key", install.read_key)
    done = clawtrace("import", "openclaw", str(install.host.state), *keys, "--settled-minutes", "0", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def test_a_lost_spool_is_filled_in(
    make_install: Callable[..., Install], doors: Doors, clawtrace: Clawtrace, label: str
) -> None:
    relay = Relay(int(doors.stack.gateway_url.rsplit(":", 1)[1]))
    install = make_install("imported", relay.url)
    captured, lost = f"{label}-captured", f"{label}-lost"
    try:
        install.host.start_gateway()
        assert "alpha-42" in install.host.ask(f"[[scenario:multi-tool label={captured}]] Go.", captured).result(90)
        before = install.balanced(captured)
        install.all_events_arrived()
        relay.go_away()
        assert "alpha-42" in install.host.ask(f"[[scenario:multi-tool label={lost}]] Go.", lost).result(90)
        install.host.stop_gateway()
        shutil.rmtree(install.host.state / "clawtrace")
        assert not install.spans(lost)

        report = import_transcripts(install, clawtrace)
        assert report["runs_complete"] >= 1
        assert (report["add_runs"], report["add_model_calls"], report["add_tool_calls"]) == (1, 5, 6)
        paid = [entry.buckets for entry in install.entries(lost)]
        assert report["add_output_tokens"] == sum(buckets.output_tokens for buckets in paid)
        found = install.balanced(lost)
        assert len([span for span in found if span["kind"] == "run"]) == 1

        doors.wait_until_stored()
        assert not differences(install.entries(captured), install.spans(captured))
        assert {span["span_id"] for span in install.spans(captured)} == {span["span_id"] for span in before}
        again = import_transcripts(install, clawtrace)
        assert again["events"] == 0, again
    finally:
        install.host.close()
        relay.close()
