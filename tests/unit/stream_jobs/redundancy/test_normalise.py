"""What two calls have in common, and what only chance made different."""

import json

import pytest

from stream_jobs.core.redundancy.normalise import MAX_UNITS, answer_text, asked_text, units_of


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a": 1, "b": {"d": 2, "c": 3}}', '{ "b":{"c":3,"d":2},"a":1 }'),
        ('{"command": "ls\\n\\n  -la"}', '{"command": "ls -la"}'),
        ('{"q": "x", "requestId": "abc"}', '{"q": "x", "requestId": "xyz"}'),
        ('{"since": "2026-11-23T10:00:00Z"}', '{"since": "2026-11-23 11:31:07.123+01:00"}'),
        ('{"since": 1795411531890}', '{"since": 1795412601779}'),
        ('{"file": "/tmp/tmp.Ab3dEf9/in.txt"}', '{"file": "/tmp/tmp.Zz9yXw1/in.txt"}'),
        ('{"file": "/var/folders/zz/tmpk3j4h5g6"}', '{"file": "/var/folders/zz/tmpq1w2e3r4"}'),
    ],
)
def test_chance_does_not_tell_questions_apart(left: str, right: str) -> None:
    assert asked_text(left) == asked_text(right) != ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"path": "/tmp/report.md"}', '{"path": "/tmp/other.md"}'),
        ('{"command": "git show 1f6c0fe"}', '{"command": "git show fd115a0"}'),
        ('{"session": "5f3a8a52-93d5-4dbb-8f44-0e8b1c0d5d1e"}', '{"session": "6f3a8a52-93d5-4dbb-8f44-0e8b1c0d5d1e"}'),
        ('{"offset": 100}', '{"offset": 200}'),
    ],
)
def test_what_is_meant_tells_questions_apart(left: str, right: str) -> None:
    assert asked_text(left) != asked_text(right)


def answer(text: str, **details: object) -> str:
    return json.dumps({"content": [{"type": "text", "text": text}], "details": details})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (answer("poll", durationMs=115), answer("poll", durationMs=22)),
        (
            answer('<<<EXTERNAL_UNTRUSTED_CONTENT id="a1b2c3d4e5f6a7b8">>> Down'),
            answer('<<<EXTERNAL_UNTRUSTED_CONTENT id="0f1e2d3c4b5a6978">>> Down'),
        ),
        (answer("12 passed in 0.31s (pid 4711)"), answer("12 passed in 1.27s (pid 4933)")),
        ('{"status": "open", "tookMs": 3}', '{"tookMs": 9, "status": "open"}'),
    ],
)
def test_chance_does_not_tell_answers_apart(left: str, right: str) -> None:
    assert answer_text(left) == answer_text(right) != ""


def test_progress_tells_answers_apart() -> None:
    assert answer_text(answer("45 % done")) != answer_text(answer("46 % done"))


def test_what_is_no_json_is_compared_as_it_is() -> None:
    assert asked_text("{broken  json") == "{broken json"
    assert asked_text(None) == asked_text("") == ""


def test_long_texts_are_compared_by_words_then_by_statements() -> None:
    words = " ".join(f"word{number}" for number in range(400))
    changed = words.replace("word7 ", "other ")
    assert len(words) > MAX_UNITS
    left, right = units_of(words), units_of(changed)
    assert len(left) == len(right) == 400
    assert sum(a != b for a, b in zip(left, right, strict=True)) == 1
    statements = "".join(f"let x{number} = {number} + {number};" for number in range(300))
    assert len(units_of(statements)) == 300
    assert len(units_of("a b " * 20_000)) <= MAX_UNITS
