"""The guard refuses what it does not know, says how to mend it, and lets people's questions through."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.sqlguard.admit import MAX_SQL_CHARS, admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns
from lakehouse.contracts.manifest import build_manifest
from tests.unit.api.sql_corpus import CROSSING, LEGITIMATE, REFUSED

COLUMNS = view_columns()
_HOSTILE = [(code, text) for code, texts in REFUSED.items() for text in texts]


def _text(template: str) -> str:
    return template.format(own="ownone", foreign="foreignone")


def test_the_corpus_is_large_enough() -> None:
    assert len(_HOSTILE) + len(CROSSING) >= 60
    assert len(LEGITIMATE) >= 20


@pytest.mark.parametrize(("code", "template"), _HOSTILE)
def test_hostile_text_is_refused_for_the_right_reason(code: str, template: str) -> None:
    with pytest.raises(SqlRefused) as refused:
        admit_sql(_text(template), COLUMNS, 100)
    assert refused.value.code == code
    assert refused.value.message


@pytest.mark.parametrize("text", LEGITIMATE)
def test_a_question_passes_and_is_limited(text: str) -> None:
    admitted = admit_sql(text, COLUMNS, 100)
    assert admitted.sql.count("LIMIT") >= 1
    assert set(admitted.tables) <= set(COLUMNS)
    # What the guard wrote must pass the guard, and come out as it went in.
    assert admit_sql(admitted.sql, COLUMNS, 100).sql == admitted.sql


@pytest.mark.parametrize("template", CROSSING)
def test_a_text_that_only_asks_for_foreign_rows_is_left_to_the_engine(template: str) -> None:
    assert admit_sql(_text(template), COLUMNS, 100).sql


def test_the_examples_of_the_manifest_pass() -> None:
    for view in build_manifest():
        for _, example in view.examples:
            assert view.name in admit_sql(example, COLUMNS, 100).tables


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT name FROM spans", "SELECT name FROM spans LIMIT 101"),
        ("SELECT name FROM spans LIMIT 7", "SELECT name FROM spans LIMIT 7"),
        ("SELECT name FROM spans LIMIT 5000", "SELECT name FROM spans LIMIT 101"),
        ("SELECT name FROM spans FETCH FIRST ROW ONLY", "SELECT name FROM spans LIMIT 1"),
        ("(SELECT name FROM spans ORDER BY name)", "SELECT name FROM spans ORDER BY name LIMIT 101"),
        ("SELECT 1 UNION ALL SELECT 2", "SELECT 1 UNION ALL SELECT 2 LIMIT 101"),
        ("SELECT name -- hidden\nFROM spans /* also */", "SELECT name FROM spans LIMIT 101"),
    ],
)
def test_rows_are_limited_and_comments_are_gone(text: str, expected: str) -> None:
    assert admit_sql(text, COLUMNS, 100).sql == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SHOW TABLES", "agents, alerts, cards, edges, events, scores, spans, tenants, traces"),
        ("DESCRIBE traces", "num_model_calls"),
        ("SHOW COLUMNS FROM spans", "cache_read_tokens"),
        ("SELECT * FROM span", "Did you mean spans?"),
        ("SELECT lowr(name) FROM spans", "Did you mean lower?"),
        ("SELECT DECIMAL '1.5'", "Write the number itself: 1.5."),
        ("EXPLAIN SELECT 1", "Run the query itself"),
        ("SELECT name FROM traces WHERE name ILIKE '%notes%'", "lower(name) LIKE"),
        ("SELECT `name` FROM traces", '"double quotes"'),
    ],
)
def test_a_refusal_teaches(text: str, words: str) -> None:
    with pytest.raises(SqlRefused, match=re.escape(words)):
        admit_sql(text, COLUMNS, 100)


def test_too_much_is_refused_before_it_costs_anything() -> None:
    with pytest.raises(SqlRefused) as long:
        admit_sql("SELECT '" + "x" * MAX_SQL_CHARS + "'", COLUMNS, 100)
    assert long.value.code == "too_long"
    with pytest.raises(SqlRefused) as deep:
        admit_sql("SELECT " + "(" * 3000 + "1" + ")" * 3000, COLUMNS, 100)
    assert deep.value.code in {"too_complex", "syntax_error"}
    with pytest.raises(SqlRefused) as wide:
        admit_sql("SELECT " + ",".join(["1"] * 5000), COLUMNS, 100)
    assert wide.value.code == "too_complex"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("array[", "]"), ("row(", ")"), ("{", "}"), ("map(array[1], ", ")"), ("(", ")"), ("(array[", "])"), ("a[", "]")],
)
def test_brackets_that_the_parser_would_take_minutes_for_are_refused_at_once(opening: str, closing: str) -> None:
    started_at_s = time.monotonic()
    for text in ("SELECT " + opening * 60 + "1" + closing * 60, "SELECT " + opening * 60):
        with pytest.raises(SqlRefused) as refused:
            admit_sql(text, COLUMNS, 100)
        assert refused.value.code == "too_complex"
    # Far below the minutes, far above what a busy machine takes away.
    assert time.monotonic() - started_at_s < 30


@settings(deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="SELCTFROMspan $\"'();,*.-/\n", max_size=80))
def test_any_text_is_admitted_or_refused_but_never_crashes(text: str) -> None:
    try:
        admitted = admit_sql(text, COLUMNS, 10)
    except SqlRefused:
        return
    assert set(admitted.tables) <= set(COLUMNS)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_a_string_literal_stays_one_literal(value: str) -> None:
    text = "SELECT name FROM spans WHERE name = '" + value.replace("'", "''") + "'"
    try:
        admitted = admit_sql(text, COLUMNS, 10)
    except SqlRefused:
        return
    assert admitted.sql == text + " LIMIT 11"
