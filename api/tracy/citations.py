"""Checks a text of the model: every figure must say where it comes from, and must be what stands there.

The model writes a figure as ``[[$1.23|r2.0.cost_usd]]``: as shown, then result, row and column (``r2.count`` is the
number of rows). A checked figure becomes a link to its citation, ``[$1.23](#c4)``.

Upstream: api/tracy/answer.py, with sanitised text and results that were read twice.
Downstream: nothing; pure.
Guarantee: a digit, a number word or a number sign leaves only if a result says it, the question says it of a time or
a rank ("last 7 days"), or it is part of a name that stands in a result or in the question. All others become WITHHELD.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

from api.tracy.figures import is_number, parse_figure, say_alike, unit_behind, why_not

WITHHELD: Final = "(number withheld)"
MAX_KNOWN_CHARS: Final = 400_000

Status = Literal["checked", "updated", "withheld"]

_MARKER: Final = re.compile(
    r"(?P<dollar>\$)?\[\[(?P<shown>[^\[\]|\\\n]{1,80})\\?\|\s*(?P<result>r\d{1,4})\.(?P<where>count|(?P<row>\d{1,6})\."
    r"(?P<column>[^\]\n]{1,128}))\s*\]\]"
)
_LINK: Final = re.compile(r"\]\((/[^()\s]*)\)")
_ORDINAL: Final = re.compile(r"^[ \t>]*\d{1,3}[.)](?=[ \t])", re.M)
_FENCE: Final = re.compile(r"```[^\n]*\n(.*?)```", re.S)
# A run of characters that holds a digit: a number with its signs, or a name. A slash ends it, as in "4/5".
_TOKEN: Final = re.compile(r"[^\s|()\[\]{}*\"`<>!?;=…/]*\d[^\s|()\[\]{}*\"`<>!?;=…/]*")
_NUMBER_WORD: Final = re.compile(
    r"(?<![\w-])(?:zero|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|"
    r"seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|"
    r"billions?|trillions?|dozens?|twice|thrice)(?:-\w+)?(?!\w)",
    re.I,
)
_PHRASES: Final = (
    re.compile(r"\b(?:last|past|previous|next|top|first)[ -]\d{1,4}(?:[ -][a-z]+)?", re.I),
    re.compile(r"\b\d{1,4}[ -](?:minute|hour|day|week|month|year)s?", re.I),
)
_TIME_NOUN: Final = re.compile(r" (?:minute|hour|day|week|month|year)s?$")
_SQL_INTERVAL: Final = re.compile(r"\bINTERVAL\s+'(\d{1,4})'\s+(MINUTE|HOUR|DAY|WEEK|MONTH|YEAR)\b", re.I)
_SQL_LIMIT: Final = re.compile(r"\bLIMIT\s+(\d{1,4})\b", re.I)
_STATISTICS: Final = frozenset({"p50", "p75", "p90", "p95", "p99", "utf-8", "sha256"})
_WORDS: Final = re.compile(r"[^\s|()\[\]{}*\"`<>!?;=…/,]+")


@dataclass(frozen=True, slots=True)
class Table:
    """A result as it was read: native values, the columns' names, the snapshots of the tables it came from."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    snapshots: Mapping[str, str]
    truncated: bool = False
    # False for a query that reads no table: what it gives was made up by whoever wrote it.
    is_recorded: bool = True


@dataclass(frozen=True, slots=True)
class Reread:
    """The same result read a second time; ``again`` is None when that failed, which withholds its figures."""

    first: Table
    again: Table | None


@dataclass(frozen=True, slots=True)
class Citation:
    """Where one figure comes from, or why it was withheld."""

    citation_id: str
    status: Status
    shown: str
    result_id: str | None = None
    row: int | None = None
    column: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class Known:
    """Names with digits, and phrases of the question, that a text may repeat without a citation."""

    words: set[str] = field(default_factory=set)
    phrases: set[str] = field(default_factory=set)
    sql: list[str] = field(default_factory=list)
    _num_chars: int = 0

    def add_question(self, text: str) -> None:
        """Let the times, ranks and names of the question be repeated."""
        for match in _phrases(text):
            phrase = _normal(match.group())
            self.phrases.add(phrase)
            if not _TIME_NOUN.search(phrase):
                self.phrases.add(_without_noun(phrase))
        self.add_names(text)

    def add_sql(self, sql: str) -> None:
        """Let a query that ran be repeated, and the time and the rank that it asks for be said."""
        self.sql.append(sql)
        for number, unit in _SQL_INTERVAL.findall(sql):
            for noun in (unit.lower(), f"{unit.lower()}s"):
                self.phrases.update(f"{begin}{number} {noun}" for begin in ("", "last ", "past ", "previous "))
        for number in _SQL_LIMIT.findall(sql):
            self.phrases.update((f"top {number}", f"first {number}"))

    def add_names(self, text: str) -> None:
        """Let names with digits in a text be repeated; plain numbers in it stay unknown."""
        room = MAX_KNOWN_CHARS - self._num_chars
        self._num_chars += len(text)
        for match in _WORDS.finditer(text[: max(0, room)]):
            word = _bare(match.group()).lower()
            if any(char.isdigit() for char in word) and parse_figure(word) is None:
                self.words.add(word)

    def add_table(self, table: Table) -> None:
        """Let names, dates and ids in the cells of a result be repeated."""
        for row in table.rows:
            for cell in row:
                if isinstance(cell, date | datetime):
                    self.add_names(cell.isoformat())
                elif isinstance(cell, str | list | tuple | dict):
                    self.add_names(str(cell))


def cited_results(text: str) -> list[str]:
    """Ids of the results that a text cites, each once, in order."""
    return list(dict.fromkeys(match["result"] for match in _MARKER.finditer(text)))


def check_text(
    text: str, results: Mapping[str, Reread], known: Known, *, next_number: int = 1, as_links: bool = True
) -> tuple[str, list[Citation]]:
    """Return the text as it may be shown, and a citation for each figure, numbered from ``next_number``."""
    citations: list[Citation] = []
    parts: list[str] = []
    position = 0
    for match in _MARKER.finditer(text):
        if match.start() < position:
            continue
        parts.append(_check_prose(text[position : match.start()], known, results, citations, next_number))
        behind = unit_behind(text[match.end() :])
        citation = _check_marker(match, behind, results, f"c{next_number + len(citations)}")
        citations.append(citation)
        if citation.status == "withheld":
            parts.append(WITHHELD)
        else:
            parts.append(f"[{citation.shown}](#{citation.citation_id})" if as_links else citation.shown)
        position = match.end() + len(behind)
    parts.append(_check_prose(text[position:], known, results, citations, next_number))
    return "".join(parts), citations


def _check_marker(match: re.Match[str], behind: str, results: Mapping[str, Reread], citation_id: str) -> Citation:
    shown = f"{match['dollar'] or ''}{match['shown'].strip()}{behind}"
    result_id, is_count = match["result"], match["where"] == "count"
    row = None if is_count else int(match["row"])
    column = "count" if is_count else match["column"].strip()

    def verdict(status: Status, shown: str, reason: str | None = None) -> Citation:
        return Citation(citation_id, status, shown, result_id, row, column, reason)

    result = results.get(result_id)
    if result is None:
        return verdict("withheld", "", f"there is no result {result_id}")
    if not result.first.is_recorded:
        return verdict("withheld", "", "the query reads no table")
    if result.again is None:
        return verdict("withheld", "", "the query could not be run again")
    try:
        first, again = _cell(result.first, row, column), _cell(result.again, row, column)
    except LookupError as error:
        return verdict("withheld", "", str(error.args[0]))
    if (reason := why_not(shown, first, column)) is not None:
        return verdict("withheld", "", reason)
    if why_not(shown, again, column) is None:
        return verdict("checked", shown)
    if result.first.snapshots == result.again.snapshots:
        return verdict("withheld", "", "the same query on the same snapshot gave another value")
    newer = say_alike(shown, again, column) if _same_labels(result, row) else None
    if newer is None:
        return verdict("withheld", "", "the data changed meanwhile: the same query now gives another value")
    return verdict("updated", newer, f"the data changed meanwhile; it was {shown}")


def _same_labels(result: Reread, row: int | None) -> bool:
    """Whether a row is still about the same thing: its texts and instants are what they were."""
    if row is None or result.again is None:
        return True
    first, again = result.first.rows[row], result.again.rows[row]
    return all(a == b for a, b in zip(first, again, strict=False) if not is_number(a) or not is_number(b))


def _cell(table: Table, row: int | None, column: str) -> Any:
    if row is None:
        if table.truncated:
            raise LookupError("the result was cut, so its rows cannot be counted")
        return len(table.rows)
    if not 0 <= row < len(table.rows):
        raise LookupError(f"there is no row {row}")
    names = [name.lower() for name in table.columns]
    if names.count(column.lower()) != 1:
        raise LookupError(f"there is no column {column}")
    return table.rows[row][names.index(column.lower())]


def _check_prose(
    text: str, known: Known, results: Mapping[str, Reread], citations: list[Citation], next_number: int
) -> str:
    """Replace the figures that say no source."""
    kept = _kept_spans(text, known)
    found = [match.span() for match in _TOKEN.finditer(text)] + [match.span() for match in _NUMBER_WORD.finditer(text)]
    found += [(index, index + 1) for index, char in enumerate(text) if unicodedata.category(char) in ("No", "Nl")]
    parts: list[str] = []
    position = 0
    for start, end in sorted(found):
        if end <= position or any(low <= start and end <= high for low, high in kept):
            continue
        # A sign such as "²" may have taken the beginning of a number; the rest of it is one all the same.
        start = max(start, position)
        token = text[start:end]
        bare = _bare(token)
        start += token.find(bare)
        end = start + len(bare)
        if (
            start < position
            or _may_stay(bare, known, results)
            or any(low <= start and end <= high for low, high in kept)
        ):
            continue
        citations.append(
            Citation(f"c{next_number + len(citations)}", "withheld", "", reason="no query gives this number")
        )
        parts += [text[position:start], WITHHELD]
        position = end
    parts.append(text[position:])
    return "".join(parts)


def _kept_spans(text: str, known: Known) -> list[tuple[int, int]]:
    kept = [match.span() for match in _ORDINAL.finditer(text)]
    for match in _phrases(text):
        phrase = _normal(match.group())
        is_time = bool(_TIME_NOUN.search(phrase))
        if phrase in known.phrases or (not is_time and _without_noun(phrase) in known.phrases):
            kept.append(match.span())
    for match in _LINK.finditer(text):
        # A link whose ids nobody has seen is a number without a source, too: then its digits are withheld.
        if all(not any(map(str.isdigit, part)) or part.lower() in known.words for part in re.split(r"[/?=]", match[1])):
            kept.append(match.span(1))
    statements = [_normal(sql) for sql in known.sql]
    for match in _FENCE.finditer(text):
        if any(_normal(match[1]) == sql for sql in statements):
            kept.append(match.span())
    return kept


def _without_noun(phrase: str) -> str:
    return " ".join(phrase.split()[:2])


def _phrases(text: str) -> list[re.Match[str]]:
    return [match for pattern in _PHRASES for match in pattern.finditer(text)]


def _may_stay(token: str, known: Known, results: Mapping[str, Reread]) -> bool:
    word = token.lower()
    if word in _STATISTICS or word in results:
        return True
    if parse_figure(word) is not None or not any(char.isdigit() for char in word):
        return False
    if word in known.words:
        return True
    # "2026-03-01" of an instant in a result, "main" of "agent:main" not: only whole leading parts of a date.
    return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}(?:t\d{2}:\d{2}(?::\d{2})?z?)?", word)) and any(
        other.startswith(word.rstrip("z")) for other in known.words
    )


def _bare(token: str) -> str:
    return token.strip(".,:;'’~_") if len(token) > 1 else token


def _normal(text: str) -> str:
    return " ".join(text.replace("-", " ").split()).lower().rstrip(";")
