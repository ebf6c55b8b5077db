"""What the commands that change tables refuse, in plain words."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lakehouse.cli import lake_app

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command of `clawtrace lake` where no stack was ever started."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(lake_app, arguments, env={"CLAWTRACE_HOME": str(tmp_path), "COLUMNS": "200"})

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "say --yes"),
        (("--trace", "t", "--session", "s"), "not both"),
        (("--agent", "laptop", "--yes"), "leave --agent out"),
    ],
)
def test_an_erasure_that_is_not_meant_so_is_refused(run: Run, arguments: tuple[str, ...], words: str) -> None:
    found = run("erase", "--tenant", "acme01", *arguments)
    assert found.exit_code == 2
    assert words in found.output


@pytest.mark.parametrize("arguments", [("erase", "--tenant", "acme01", "--trace", "t"), ("rebuild", "--dry-run")])
def test_without_a_stack_they_say_what_to_do(run: Run, arguments: tuple[str, ...]) -> None:
    found = run(*arguments)
    assert found.exit_code == 1
    assert "start the stack first" in found.output
    assert "Traceback" not in found.output
