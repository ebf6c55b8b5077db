"""The checker: figures leave only with a source; names, dates and ranks of the question may be repeated."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.tracy.citations import WITHHELD, Known, Reread, Table, check_text, cited_results

SNAPSHOT = {"silver.traces": "1"}
FIRST = Table(
    ("name", "cost_usd", "error_pct", "at"),
    (
        ("gpt-5.4", Decimal("1.2345"), Decimal("37.5"), datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("sim-3", None, Decimal(0), datetime(2026, 3, 2, tzinfo=UTC)),
    ),
    SNAPSHOT,
)


def check(text: str, again: Table | None = FIRST, question: str = "") -> str:
    known = Known()
    known.add_question(question)
    known.add_table(FIRST)
    known.sql.append("SELECT name FROM traces LIMIT 5")
    return check_text(text, {"r1": Reread(FIRST, again)}, known)[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It cost [[$1.23|r1.0.cost_usd]].", "It cost [$1.23](#c1)."),
        ("It cost $[[1.23|r1.0.cost_usd]].", "It cost [$1.23](#c1)."),
        ("[[37.5|r1.0.error_pct]]% failed", "[37.5%](#c1) failed"),
        ("[[37.5|r1.0.ERROR_PCT]] % failed", "[37.5 %](#c1) failed"),
        ("[[2|r1.count]] models", "[2](#c1) models"),
        ("[[gpt-5.4|r1.0.name]]", "[gpt-5.4](#c1)"),
        ("[[2026-03-01 12:30|r1.0.at]]", "[2026-03-01 12:30](#c1)"),
        ("| gpt-5.4 | [[$1.23|r1.0.cost_usd]] |", "| gpt-5.4 | [$1.23](#c1) |"),
        ("| gpt-5.4 | [[$1.23\\|r1.0.cost_usd]] |", "| gpt-5.4 | [$1.23](#c1) |"),
        ("**[[$1.23|r1.0.cost_usd]]**,", "**[$1.23](#c1)**,"),
    ],
)
def test_a_cited_figure_links_to_its_citation(text: str, shown: str) -> None:
    assert check(text) == shown


@pytest.mark.parametrize(
    "marker",
    [
        "[[$1.24|r1.0.cost_usd]]",
        "[[$1.23|r2.0.cost_usd]]",
        "[[$1.23|r1.9.cost_usd]]",
        "[[$1.23|r1.0.cost]]",
        "[[$0.00|r1.1.cost_usd]]",
        "[[3|r1.count]]",
        "[[1.23|r1.0.cost_usd]] ms",
        "[[twelve|r1.0.cost_usd]]",
    ],
)
def test_a_wrong_citation_is_withheld(marker: str) -> None:
    assert check(marker) == WITHHELD


@pytest.mark.parametrize(
    "text",
    ["$5", "12", "1,234", "37 %", "3x", "12.5", "-4", "½", "²", "Ⅻ", "①", "५", "twelve", "Two thousand", "twice",
     "zero", "a dozen", "4/5", "10-20", "v2", "Q3", "12:30", "2025-01-01", "1e9", "#7", "**9**", "`15`", "r9", "0x1F"],
)  # fmt: skip
def test_a_figure_without_a_source_is_withheld(text: str) -> None:
    shown = check(f"It is {text} here")
    assert WITHHELD in shown
    assert not any(char.isnumeric() for char in shown)


@pytest.mark.parametrize(
    "text",
    ["gpt-5.4 did it", "sim-3, too", "on 2026-03-01", "the p95 of it", "see r1", "1. First\n2. Second", "no one else",
     "often and tenfold", "```sql\nSELECT name FROM traces LIMIT 5\n```", "someone", "the network"],
)  # fmt: skip
def test_names_dates_and_list_numbers_stay(text: str) -> None:
    assert check(text) == text


def test_times_and_ranks_of_the_question_may_be_repeated() -> None:
    question = "What were the top 5 tools of the last 7 days? Was it $40?"
    assert check("The top 5 tools of the last 7 days:", question=question) == "The top 5 tools of the last 7 days:"
    assert check("It was $40 in 7 days, and 5.", question=question) == f"It was {WITHHELD} in 7 days, and {WITHHELD}."
    assert WITHHELD in check("The last 30 days", question=question)


def test_the_time_and_the_rank_of_a_query_that_ran_may_be_said() -> None:
    known = Known()
    known.add_sql("SELECT a FROM spans WHERE trace_date >= current_date - INTERVAL '14' DAY ORDER BY a LIMIT 10")
    text = "The top 10 tools of the last 14 days:"
    assert check_text(text, {}, known)[0] == text
    assert check_text("10 tools in 15 days", {}, known)[0] == f"{WITHHELD} tools in {WITHHELD} days"
    assert check_text("in 14 hours", {}, known)[0] == f"in {WITHHELD} hours"


def test_links_keep_ids_that_were_seen_only() -> None:
    known = Known()
    known.add_names("trace tr12ab of agent a1")
    text = "[this](/traces/tr12ab) [that](/traces/tr99ff?span=s1)"
    shown, _ = check_text(text, {}, known)
    assert shown.startswith("[this](/traces/tr12ab) ")
    assert "99" not in shown


def test_sql_of_another_query_is_prose() -> None:
    assert WITHHELD in check("```sql\nSELECT name FROM traces LIMIT 6\n```")


def test_a_result_that_cannot_be_read_again_proves_nothing() -> None:
    assert check("[[$1.23|r1.0.cost_usd]]", again=None) == WITHHELD


def moved(cost: str, name: str = "gpt-5.4", snapshot: str = "2") -> Table:
    rows = ((name, Decimal(cost), *FIRST.rows[0][2:]), FIRST.rows[1])
    return Table(FIRST.columns, rows, {"silver.traces": snapshot})


def test_the_same_snapshot_must_give_the_same_value() -> None:
    assert check("[[$1.23|r1.0.cost_usd]]", again=moved("1.30", snapshot="1")) == WITHHELD


def test_data_that_moved_on_are_said_as_they_are_now() -> None:
    text, (citation,) = check_text("[[$1.23|r1.0.cost_usd]]", {"r1": Reread(FIRST, moved("1.30"))}, Known())
    assert text == "[$1.30](#c1)"
    assert citation.status == "updated"
    assert citation.reason is not None
    # A small move that does not show is no move.
    assert check("[[$1.23|r1.0.cost_usd]]", again=moved("1.2349")) == "[$1.23](#c1)"
    # Another row came into its place: then it would be said of the wrong thing.
    assert check("[[$1.23|r1.0.cost_usd]]", again=moved("1.30", name="other")) == WITHHELD


def test_a_query_that_reads_no_table_proves_nothing() -> None:
    made_up = Table(("cost_usd",), ((Decimal(0),),), {}, is_recorded=False)
    assert check_text("[[$0|r1.0.cost_usd]]", {"r1": Reread(made_up, made_up)}, Known())[0] == WITHHELD


def test_a_cut_result_has_no_count() -> None:
    cut = Table(FIRST.columns, FIRST.rows, SNAPSHOT, truncated=True)
    assert check_text("[[2|r1.count]]", {"r1": Reread(cut, cut)}, Known())[0] == WITHHELD


def test_citations_are_numbered_and_say_why() -> None:
    text = "[[$1.23|r1.0.cost_usd]] and 9 and [[$9|r1.0.cost_usd]]"
    shown, citations = check_text(text, {"r1": Reread(FIRST, FIRST)}, Known(), next_number=4)
    assert shown == f"[$1.23](#c4) and {WITHHELD} and {WITHHELD}"
    assert [citation.citation_id for citation in citations] == ["c4", "c5", "c6"]
    assert [citation.status for citation in citations] == ["checked", "withheld", "withheld"]
    assert all(citation.reason for citation in citations[1:])
    assert cited_results(text) == ["r1"]


@example("²@0")
@example("x²3 ½4.5")
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_no_numeral_of_any_script_leaves_without_a_source(text: str) -> None:
    shown, _ = check_text(text, {}, Known())
    for line in shown.splitlines():
        left = line.replace(WITHHELD, "")
        bare = left.lstrip(" \t>")
        # A list's own number at the start of a line is form, not content.
        while bare[:1].isdecimal():
            bare = bare[1:]
        for statistic in ("p50", "p75", "p90", "p95", "p99", "utf-8", "sha256"):
            bare = bare.lower().replace(statistic, "")
        assert not any(char.isdecimal() for char in bare), (text, shown)
