"""The pages in a real browser over the stack of this session, where there is a browser."""

import os
import subprocess
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "api" / "web"
ENDS_WITHIN_S = 1_800
# Pictures are for people, and what takes how long is for a machine that does nothing else: make test-web.
LEFT_OUT = "@timing"


def _why_not(environment: dict[str, str]) -> str:
    """Say what is missing; empty when nothing is."""
    if not (WEB / "node_modules").is_dir() or not (WEB / "dist" / "index.html").is_file():
        return "the pages are not built; run: make web"
    found = subprocess.run(
        ["node", str(WEB / "browser" / "find.mjs")], capture_output=True, text=True, env=environment, timeout=120
    )
    return "" if found.returncode == 0 else f"{found.stderr.strip()}; run: make setup-browser"


@pytest.mark.slow
def test_every_page_in_a_browser(stack_environment: dict[str, str]) -> None:
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **stack_environment,
        "PATH": path,
        "CLAWTRACE_TEST_HOME": stack_environment["CLAWTRACE_HOME"],
        "CLAWTRACE_TEST_PORT_BASE": stack_environment["CLAWTRACE_PORT_BASE"],
    }
    if reason := _why_not(environment):
        warnings.warn(f"THE PAGES WERE NOT TESTED IN A BROWSER: {reason}", stacklevel=1)
        pytest.skip(f"the pages were not tested in a browser: {reason}")
    command = ["npx", "--no-install", "playwright", "test", "--retries=1", f"--grep-invert={LEFT_OUT}"]
    done = subprocess.run(
        command,
        cwd=WEB,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=ENDS_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout[-8_000:]
