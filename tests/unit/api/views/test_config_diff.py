"""What two versions of a configuration say differently."""

from typing import Any

from api.views.config_diff import TextChange, ValueChange, diff_configs


def config(**changes: Any) -> dict[str, Any]:
    base = {
        "hash": "0" * 12,
        "reason": "start",
        "openclaw_version": "2026.9.6",
        "model": {"primary": "fake/sim-1", "fallbacks": []},
        "settings": {"heartbeat": {"every": "30m"}},
        "tools": {},
        "plugins": ["clawtrace"],
        "guard": {"enabled": True},
        "skills": [{"name": "deploy", "version": "a" * 12, "text": "Deploy.\nThen look.\n"}],
        "files": [],
    }
    return {**base, **changes}


def test_the_same_has_no_difference_whenever_it_was_told() -> None:
    diff = diff_configs(config(), config(hash="1" * 12, reason="changed", previous="0" * 12))
    assert (diff.values, diff.texts) == ([], [])


def test_values_are_named_by_their_path() -> None:
    after = config(
        model={"primary": "fake/sim-2", "fallbacks": []},
        settings={"heartbeat": {"every": "1h"}, "thinkingDefault": "low"},
        plugins=["clawtrace", "discord"],
    )
    assert diff_configs(config(), after).values == [
        ValueChange("model.primary", '"fake/sim-1"', '"fake/sim-2"'),
        ValueChange("plugins", '["clawtrace"]', '["clawtrace", "discord"]'),
        ValueChange("settings.heartbeat.every", '"30m"', '"1h"'),
        ValueChange("settings.thinkingDefault", None, '"low"'),
    ]


def test_texts_are_compared_line_by_line() -> None:
    skills = [{"name": "deploy", "version": "b" * 12, "text": "Deploy once.\nThen look.\n"}]
    (change,) = diff_configs(config(), config(skills=skills)).texts
    assert (change.kind, change.name, change.before, change.after) == ("skill", "deploy", "a" * 12, "b" * 12)
    assert change.diff is not None
    assert change.diff.splitlines()[2:] == ["@@ -1,2 +1,2 @@", "-Deploy.", "+Deploy once.", " Then look."]


def test_a_skill_that_comes_or_goes_is_all_new_or_all_gone() -> None:
    (gone,) = diff_configs(config(), config(skills=[])).texts
    assert (gone.before, gone.after) == ("a" * 12, None)
    assert gone.diff is not None
    assert gone.diff.splitlines()[3:] == ["-Deploy.", "-Then look."]
    files = [{"name": "AGENTS.md", "version": "c" * 12, "text": "Be brief."}]
    (come,) = diff_configs(config(), config(files=files)).texts
    assert (come.kind, come.before, come.after) == ("file", None, "c" * 12)


def test_a_text_that_was_not_told_is_not_guessed() -> None:
    skills = [{"name": "deploy", "version": "b" * 12}]
    assert diff_configs(config(), config(skills=skills)).texts == [
        TextChange("skill", "deploy", "a" * 12, "b" * 12, None)
    ]


def test_a_very_long_difference_is_cut_and_says_so() -> None:
    files = [{"name": "AGENTS.md", "version": "c" * 12, "text": "\n".join(map(str, range(5_000)))}]
    (change,) = diff_configs(config(), config(files=files)).texts
    assert change.diff is not None
    assert change.diff.splitlines()[-1] == "… 4603 lines more"
