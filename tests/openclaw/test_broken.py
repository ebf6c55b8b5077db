"""Our own code throws wherever it is asked for anything: nobody is blocked, and every run ends well."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.openclaw.balance import wait_until_quiet
from tests.openclaw.conftest import Install

THROW = 'throw new Error("broken on purpose");'
# What is written in place of, or below, a module of the package.
BROKEN_GUARD = f"""
export {{ connectGuard }} from "./connect.mjs";
const broken = () => {{ {THROW} }};
export const createGuard = () => new Proxy({{}}, {{ get: (_, name) => (name === "then" ? undefined : broken) }});
"""
BROKEN_BALLAST = f"""
let numShaped = 0;
const shape = Ballast.prototype.event;
Ballast.prototype.event = function (...given) {{
  numShaped += 1;
  if (numShaped % 2) {THROW}
  return shape.apply(this, given);
}};
"""
BROKEN_PRIVACY = f"""
Privacy.prototype.screen = () => {{ {THROW} }};
"""


@pytest.fixture(scope="module")
def broken(make_install: Callable[..., Install], package: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """An OpenClaw with a copy of the plugin whose guard, shapes and privacy throw."""
    copy = tmp_path_factory.mktemp("broken") / "package"
    shutil.copytree(package, copy)
    (copy / "src/guard/index.mjs").write_text(BROKEN_GUARD)
    for name, code in (("ballast", BROKEN_BALLAST), ("privacy", BROKEN_PRIVACY)):
        module = copy / f"src/{name}.mjs"
        module.write_text(module.read_text() + code)
    install = make_install("broken", plugin=copy)
    install.host.start_gateway()
    return install


def test_runs_end_well_and_the_gateway_stops(broken: Install, label: str) -> None:
    several = [f"{label}-{number}" for number in range(3)]
    replies = [broken.host.ask(f"[[scenario:multi-tool label={one}]] Please.", one) for one in several]
    helper = f"{label}-helper"
    helped = broken.host.ask(f"[[scenario:subagent label={helper}]] Please.", helper)
    assert all("the code is alpha-42" in reply.result(120) for reply in replies)
    assert "A helper is counting." in helped.result(120)
    wait_until_quiet(lambda: broken.entries(helper))
    for one in several:
        assert [entry.outcome for entry in broken.entries(one)] == ["ok"] * 5
    assert sorted(entry.scenario for entry in broken.entries(helper)) == [
        "announce",
        "child",
        "child",
        "subagent",
        "subagent",
    ]
    # The parts were met, and say so.
    log = broken.host.log_file.read_text()
    for part in ("guard in before_agent_run", "guard in before_tool_call", "[a-z_]+", ".* could not be written"):
        assert re.search(f"clawtrace: {part}: broken on purpose", log), part
    assert broken.host.stop_gateway() < 30
