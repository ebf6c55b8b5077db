"""The commands: what they print, and the exit code that says whose fault it is."""

import base64
import json
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.commands import sql_token_app, trino_app
from api.sql_command import print_rows, sql_app
from infra.trino.rules import access_rules

KEY = b"k" * 64


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a signing key and nothing that runs."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "trino-jwt.key").write_text(base64.b64encode(KEY).decode())
    (tmp_path / "secrets" / "trino-ca.pem").write_text("")
    monkeypatch.setenv("CLAWTRACE_HOME", str(tmp_path))
    monkeypatch.setenv("CLAWTRACE_TRINO_URL", "https://127.0.0.1:9")
    return tmp_path


def test_rules_are_printed(home: Path) -> None:
    done = CliRunner().invoke(trino_app, ["rules"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == access_rules()


def test_rules_are_written_whole_and_for_the_owner_only(home: Path) -> None:
    file = home / "trino" / "etc" / "rules.json"
    assert CliRunner().invoke(trino_app, ["rules", "--write"]).exit_code == EXIT_AWAY
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert CliRunner().invoke(trino_app, ["rules", "--write"]).stdout.startswith("written")
    assert json.loads(file.read_text()) == access_rules()
    assert file.stat().st_mode & 0o777 == 0o600
    assert CliRunner().invoke(trino_app, ["rules", "--write"]).stdout.startswith("unchanged")


def test_a_token_is_for_one_tenant_and_some_hours(home: Path) -> None:
    done = CliRunner().invoke(sql_token_app, ["--tenant", "abcdef", "--hours", "2"])
    assert done.exit_code == 0
    claims = jwt.decode(done.stdout.strip(), KEY, algorithms=["HS256"])
    assert claims["sub"] == "t_abcdef"
    assert 7100 < claims["exp"] - claims["iat"] < 7300


def test_a_wrong_tenant_gets_no_token(home: Path) -> None:
    done = CliRunner().invoke(sql_token_app, ["--tenant", "No Tenant"])
    assert done.exit_code == EXIT_QUESTION
    assert "6 to 32" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["DESCRIBE traces", "--operator"], "num_tool_calls"),
        (["DROP TABLE x", "--operator"], "Write one SELECT"),
        (["SELECT 1 AS a", "--output", "x.txt"], "json, csv, parquet"),
        (["SELECT 1 AS a"], "CLAWTRACE_READ_KEY"),
    ],
)
def test_a_question_at_fault_is_told_so(home: Path, arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(sql_app, arguments)
    assert done.exit_code == EXIT_QUESTION
    assert words in done.stderr
    assert done.stdout == ""


def test_no_engine_is_told_in_plain_words(home: Path) -> None:
    done = CliRunner().invoke(sql_app, ["SELECT 1 AS a", "--operator"])
    assert done.exit_code == EXIT_AWAY
    assert "Trino does not answer" in done.stderr
    assert "clawtrace status" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_agents_wrote_moves_no_cursor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    print_rows({"columns": [{"name": "na\x1b[2Jme"}], "rows": [["it\u202e ran\x1b]0;title"]]})
    out = capsys.readouterr().out
    assert "it ran]0;title" in out
    assert ("\x1b" in out, "\u202e" in out) == (False, False)
