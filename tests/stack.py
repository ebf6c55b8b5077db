"""Stacks that tests and benches start: by the same command as a user, in a folder and on ports of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.runtime.settings import StackSettings

ROOT = Path(__file__).resolve().parents[1]
CAPTURES = ROOT / "producers/replay/captures"
# Tenants whose runs are to raise an alert: the limit lies between an ordinary capture and the runaway.
ALERTED_TENANTS = ("doorstwo", "benchten")
ALERT_LIMIT_USD = "0.05"
# Tests wait until every table says that it has everything; by default some say so only once a minute.
QUICKER = {"CLAWTRACE_SINK_MARK_SECONDS": "3", "CLAWTRACE_SINK_SLOW_COMMIT_SECONDS": "3"}


def write_stack_config(home: Path) -> None:
    """Put prices of the scripted provider and the limits of the test tenants where the stitcher reads them."""
    folder = home / "config"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CAPTURES / "prices.toml", folder / "prices.toml")
    overrides = "".join(
        f'\n[[override]]\ntenant_id = "{tenant}"\nrun_cost.limit_usd = "{ALERT_LIMIT_USD}"\n'
        for tenant in ALERTED_TENANTS
    )
    (folder / "rules.toml").write_text((CAPTURES / "rules.toml").read_text() + overrides)


def run_clawtrace(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a ``clawtrace`` command as a user would and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        check=False,
        text=True,
        capture_output=True,
        cwd=ROOT,
        env=environment,
        timeout=600,
    )


@contextmanager
def own_stack(home: Path, port_base: int, parts: str = "", **settings: str) -> Iterator[dict[str, str]]:
    """Start a fresh stack, or these parts of one, whatever others run; yield its environment, stop it.

    ``settings`` are environment variables.
    """
    environment = {**os.environ, "CLAWTRACE_HOME": str(home), "CLAWTRACE_PORT_BASE": str(port_base), **settings}
    write_stack_config(home)
    started = run_clawtrace("up", *(("--only", parts) if parts else ()), environment=environment)
    if started.returncode != 0:
        raise RuntimeError(f"the stack did not start:\n{started.stdout}\n{started.stderr}")
    try:
        yield environment
    finally:
        stopped = run_clawtrace("down", environment=environment)
    if stopped.returncode != 0:
        raise RuntimeError(f"the stack did not stop:\n{stopped.stdout}\n{stopped.stderr}")


@contextmanager
def running_stack(folder: str, port_base: int, **quicker: str) -> Iterator[dict[str, str]]:
    """Start a fresh stack, yield the environment that reaches it, stop it.

    ``quicker`` are settings for it, as environment variables.

    ``CLAWTRACE_TEST_HOME`` and ``CLAWTRACE_TEST_PORT_BASE`` name a stack that runs already: it is used as it is
    and left running.
    """
    reused = os.environ.get("CLAWTRACE_TEST_HOME")
    base = int(os.environ.get("CLAWTRACE_TEST_PORT_BASE", port_base))
    if not reused:
        home = ROOT / folder
        run_clawtrace("down", environment={**os.environ, "CLAWTRACE_HOME": str(home), "CLAWTRACE_PORT_BASE": str(base)})
        shutil.rmtree(home, ignore_errors=True)
        with own_stack(home, base, **quicker) as environment:
            yield environment
        return
    home = Path(reused)
    # Others that use the same stack may have added prices and rules of their own.
    if not (home / "config" / "prices.toml").exists():
        write_stack_config(home)
    environment = {**os.environ, "CLAWTRACE_HOME": str(home), "CLAWTRACE_PORT_BASE": str(base), **quicker}
    started = run_clawtrace("up", environment=environment)
    if started.returncode != 0:
        raise RuntimeError(f"the stack did not start:\n{started.stdout}\n{started.stderr}")
    yield environment


def settings_of(environment: dict[str, str]) -> StackSettings:
    """Settings of the stack that an environment reaches."""
    told = {
        name.removeprefix("CLAWTRACE_").lower(): value
        for name, value in environment.items()
        if name.startswith("CLAWTRACE_")
    }
    known: dict[str, Any] = {name: value for name, value in told.items() if name in StackSettings.model_fields}
    if "catalog_properties" in known:
        known["catalog_properties"] = json.loads(known["catalog_properties"])
    return StackSettings(**known)
