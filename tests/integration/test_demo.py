"""The demo, twice, as a tenant of its own on the stack of this session: today's runs, an alert, and nothing doubled."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from infra.local.demo import SCENARIOS
from infra.runtime.settings import StackSettings
from tests.stack import ROOT

ENDS_WITHIN_S = 300.0
# What the five captures hold: `SELECT model, count(*), …` of the demo.
MODELS = ["sim-1\t27\t33000\t69000\t0\t2150\t0.15195", "sim-3\t5\t2200\t9000\t3800\t325\t0.028425"]
RUN = "from infra.local import demo; demo.TENANT_ID = {tenant_id!r}; demo.app()"


@pytest.fixture
def keys_file(stack: StackSettings) -> Iterator[Path]:
    """Where the demo keeps its keys; there is none before and after."""
    file = stack.secrets_folder / "demo-keys.json"
    assert not file.exists()
    yield file
    file.unlink(missing_ok=True)


def test_the_demo_shows_runs_of_today_and_doubles_nothing(
    stack: StackSettings, stack_environment: dict[str, str], keys_file: Path
) -> None:
    tenant_id = f"demo{uuid.uuid4().hex[:8]}"
    began = datetime.now(UTC) - timedelta(seconds=1)
    shown = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", RUN.format(tenant_id=tenant_id)],
            cwd=ROOT,
            env={**stack_environment, "CLAWTRACE_KEY": ""},
            text=True,
            capture_output=True,
            timeout=ENDS_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown.append(done.stdout)
        # The first time ends in the second in which the demo began; another instant would make other events of them.
        time.sleep(1.1)
    trees = [[line for line in text.splitlines() if line.startswith(("├", "└", "│", " "))] for text in shown]
    for text in shown:
        assert [line for line in text.splitlines() if line.startswith("sim-")] == MODELS
        assert "exec was called 10 times in the same way with the same result." in text
    assert _spans(trees[0]) == _spans(trees[1])
    key = json.loads(keys_file.read_text())["read"]
    with httpx2.Client(base_url=stack.api_url, trust_env=False, timeout=60) as api:
        asked = {"limit": 100, "from": (began - timedelta(hours=2)).isoformat()}
        traces = api.get("/v1/traces", params=asked, headers={"Authorization": f"Bearer {key}"}).json()["items"]
    assert len(traces) == len(SCENARIOS)
    newest = max(datetime.fromisoformat(item["ended_at"] or item["started_at"]) for item in traces)
    assert began - timedelta(minutes=1) < newest <= datetime.now(UTC)


def _spans(lines: list[str]) -> list[str]:
    return [line for line in lines if "  ok" in line or "  error" in line]
