"""The writer: whole lines only, each clean, whatever pieces the text comes in."""

from decimal import Decimal

import pytest

from api.kit.sse import Event
from api.tracy.citations import Known, Table
from api.tracy.reader import EvidenceBook
from api.tracy.writer import Writer

TABLE = Table(("cost_usd",), ((Decimal("1.5"),),), {"silver.traces": "1"})


class Source:
    """A result that counts how often it is read again."""

    num_reads = 0

    async def reread(self) -> Table:
        self.num_reads += 1
        return TABLE


def make() -> tuple[Writer, Source]:
    book, source = EvidenceBook(), Source()
    book.add("run_sql", "SELECT cost_usd FROM traces", ("decimal",), TABLE, source.reread)
    return Writer(book, Known()), source


async def write(writer: Writer, text: str, size: int) -> list[Event]:
    events = []
    for start in range(0, len(text), size):
        events += [event async for event in writer.write(text[start : start + size])]
    return [*events, *[event async for event in writer.finish()]]


TEXT = """It cost [[$1.50|r1.0.cost_usd]] and 7.

![x](http://evil.example/a) [[$1.50|r1.0.cost_usd]]
```sql
SELECT 9
```
The end"""


@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
async def test_the_pieces_do_not_matter(size: int) -> None:
    writer, source = make()
    events = await write(writer, TEXT, size)
    assert "".join(data["text"] for name, data in events if name == "text") == (
        "It cost [$1.50](#c1) and (number withheld).\n\n[x] [$1.50](#c3)\n"
        "```sql\nSELECT (number withheld)\n```\nThe end\n"
    )
    assert source.num_reads == 1
    assert writer.num_withheld == 2
    citations = [data for name, data in events if name == "citation"]
    assert citations[0]["sql"] == "SELECT cost_usd FROM traces"
    assert citations[0]["snapshots"] == {"silver.traces": "1"}
    assert citations[1]["sql"] is None


async def test_lines_leave_while_the_text_still_comes() -> None:
    writer, _ = make()
    assert [data["text"] async for _, data in writer.write("First line.\nSecond")] == ["First line.\n"]


async def test_a_line_without_end_leaves_in_parts_and_clean() -> None:
    writer, _ = make()
    events = await write(writer, "word http://evil.example/x " * 2_000, 50)
    text = "".join(data["text"] for _, data in events)
    assert "://" not in text
    assert "evil" not in text
    assert text.count("word") == 2_000


async def test_labels_have_no_figures() -> None:
    writer, _ = make()
    assert writer.clean_label("Cost 42") == "Cost (number withheld)"
    assert writer.num_withheld == 1
