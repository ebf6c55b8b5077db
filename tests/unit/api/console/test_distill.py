"""`clawtrace skill distill`: the diff on standard output, words on standard error, the file where --out says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.client import EXIT_AWAY, EXIT_QUESTION
from api.console.skill import skill_app
from tests.unit.api.console.spoken_api import Document, SpokenApi, Stream, event, spoken_api

PATH = "/v1/skills/distill"
SAVING = {
    "usd": "0.02", "usd_per_run": "0.01", "num_tool_calls": 5, "num_model_calls": 5, "num_affected_runs": 1,
    "num_runs": 2,
}  # fmt: skip
SKILL: dict[str, Any] = {
    "agent_id": "box", "task_id": "agent:main:report", "made_by": "model", "model_failure": None, "num_runs": 2,
    "mean_cost_usd": "0.05", "mean_tool_calls": 4.5, "num_tokens": 300, "max_tokens": 1200,
    "text": "# Mine\n\n## Workflow\n\n- Call `read x`. [ct:k00112233]\n",
    "patches": [{"kind": "preserve", "line": "Call `read x`.", "saving": SAVING}],
    "refused": [{"what": "prune s of t", "code": "no_counterfactual", "reason": "name a run"}],
    "saving": SAVING,
}  # fmt: skip
DONE = {"num_model_calls": 2, "num_mended": 1, "tokens": 1234, "cost_usd": "0.0031"}
PROGRESS = event("progress", {"step": "reading", "done": 1, "total": 2})


@pytest.fixture
def api() -> Iterator[SpokenApi]:
    with spoken_api({PATH: [Stream(PROGRESS + event("skill", SKILL) + event("done", DONE))]}) as api:
        yield api


def distill(api: SpokenApi, *arguments: str) -> Result:
    return CliRunner().invoke(skill_app, ["distill", "--agent", "box", *arguments, "--url", api.url, "--key", "k"])


def test_the_change_is_a_diff_against_the_skill_as_it_is(api: SpokenApi, tmp_path: Path) -> None:
    file = tmp_path / "SKILL.md"
    file.write_text("# Mine\n")
    found = distill(api, "--skill", str(file), "--task", "agent:main:report", "--days", "7", "--payloads")
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == [
        f"--- {file}",
        f"+++ {file}",
        "@@ -1 +1,5 @@",
        " # Mine",
        "+",
        "+## Workflow",
        "+",
        "+- Call `read x`. [ct:k00112233]",
    ]
    assert found.stderr.splitlines() == [
        "task agent:main:report: 2 runs, average $ 0.05",
        "preserve: Call `read x`. (saves $ 0.02 and 5 tool calls in 1 of 2 runs)",
        "refused (no_counterfactual): prune s of t: name a run",
        "all together: saves $ 0.02 and 5 tool calls in 1 of 2 runs",
        "300 of fewer than 1200 tokens",
        "the distillation: $ 0.0031, 1,234 tokens, 2 model calls",
    ]
    assert file.read_text() == "# Mine\n", "only --out writes"
    (_, headers, body) = api.asked[0]
    assert headers["authorization"] == "Bearer k"
    assert body == {
        "agent_id": "box", "task_id": "agent:main:report", "days": 7, "current_text": "# Mine\n", "use_model": True,
        "payloads": True,
    }  # fmt: skip


def test_a_new_skill_is_all_new(api: SpokenApi, tmp_path: Path) -> None:
    out = tmp_path / "SKILL.md"
    found = distill(api, "--no-model", "--out", str(out))
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines()[:2] == ["--- /dev/null", f"+++ {out}"]
    assert out.read_text() == SKILL["text"]
    assert [it.name for it in tmp_path.iterdir()] == ["SKILL.md"]
    assert api.asked[0][2]["use_model"] is False
    assert api.asked[0][2]["current_text"] == ""


def test_json_is_one_value(api: SpokenApi) -> None:
    found = distill(api, "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == {**SKILL, "distillation": DONE}


def test_that_the_model_failed_is_said(api: SpokenApi) -> None:
    failed = {**SKILL, "made_by": "cards", "model_failure": "The model is overloaded."}
    api.replies[PATH] = [Stream(event("skill", failed) + event("done", {**DONE, "cost_usd": None}))]
    found = distill(api)
    assert "The model gave no patches, so the cards decided alone: The model is overloaded." in found.stderr
    assert "the distillation: unknown cost" in found.stderr


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Stream(event("error", {"code": "not-found", "message": "no finished run"})), EXIT_QUESTION, "no finished run"),
        (Stream(event("error", {"code": "invalid", "message": "shorten it"})), EXIT_QUESTION, "shorten it"),
        (Stream(event("error", {"code": "not-configured", "message": "Set a key"})), EXIT_AWAY, "Set a key"),
        (Stream(event("error", {"code": "unavailable", "message": "in a minute"})), EXIT_AWAY, "in a minute"),
        (Stream(PROGRESS), EXIT_AWAY, "ended before the skill did"),
        (Stream(event("skill", SKILL), is_cut=True), EXIT_AWAY, "does not answer"),
        (Document({"detail": "the key is not known"}, 401), EXIT_QUESTION, "the key is not known"),
        (Document({"detail": "too busy"}, 429), EXIT_AWAY, "too busy"),
    ],
)
def test_no_skill_no_file(api: SpokenApi, tmp_path: Path, reply: Any, code: int, words: str) -> None:
    api.replies[PATH] = [reply]
    out = tmp_path / "SKILL.md"
    found = distill(api, "--out", str(out))
    assert found.exit_code == code, found.output
    assert words in found.stderr
    assert found.stdout == ""
    assert not out.exists()


def test_files_that_cannot_be_used_are_named(api: SpokenApi, tmp_path: Path) -> None:
    found = distill(api, "--skill", str(tmp_path / "gone.md"))
    assert (found.exit_code, api.asked) == (EXIT_QUESTION, [])
    assert "--skill" in found.stderr
    found = distill(api, "--out", str(tmp_path / "gone" / "SKILL.md"))
    assert found.exit_code == EXIT_QUESTION
    assert "--out" in found.stderr
