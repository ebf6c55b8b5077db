"""Commands say in plain words what is wrong, and exit with 1."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from producers.cli import db_app, gateway_app, guard_app, keys_app, make_topics_app, replay_app
from producers.contracts.topics import TOPICS
from tests.captures import HOOK_FILES

runner = CliRunner()


@pytest.fixture(autouse=True)
def no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home, and ports where nothing listens."""
    monkeypatch.setenv("CLAWTRACE_HOME", str(tmp_path))
    monkeypatch.setenv("CLAWTRACE_PORT_BASE", "1024")


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        (keys_app, ["create", "--tenant", "tenant1", "--agent", "a", "--scope", "ingest", "--json"]),
        (keys_app, ["list"]),
        (keys_app, ["revoke", "abc"]),
        (db_app, ["migrate"]),
        (gateway_app, ["run"]),
        (guard_app, ["set", "--tenant", "tenant1", "--agent", "a", "--run-usd", "0.05"]),
        (guard_app, ["show", "--json"]),
    ],
)
def test_without_a_stack_it_says_to_start_one(app: typer.Typer, arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert "make up" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_replay_names_the_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("no json\n")
    result = runner.invoke(replay_app, [str(path), "--key", "k", "--endpoint", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "x.jsonl line 1" in result.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verdict", "--tenant", "t", "--agent", "a", "--action", "abort"], "6 to 32 small letters"),
        (
            ["verdict", "--tenant", "tenant1", "--agent", "A!", "--action", "abort"],
            "the name that its key was made with",
        ),
        (["verdict", "--tenant", "tenant1", "--agent", "a", "--action", "abort", "--scope", "run"], "--id"),
    ],
)
def test_a_verdict_that_cannot_be_is_not_sent(arguments: list[str], said: str) -> None:
    result = runner.invoke(guard_app, arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_replay_wants_a_key() -> None:
    result = runner.invoke(replay_app, [str(HOOK_FILES["simple"])])
    assert result.exit_code == 2
    assert "--key" in result.output


def test_topics_are_those_it_was_given() -> None:
    result = runner.invoke(make_topics_app(TOPICS), ["provision", "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output
