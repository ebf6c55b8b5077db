"""Lets the text of an answer out line by line, each line clean and each figure checked.

Upstream: pieces of text of the model, as they stream.
Downstream: the events `text` and `citation`.
Guarantee: nothing of the model's text leaves but through sanitise_markdown and check_text; a figure leaves only after
its query has run a second time.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from api.kit.sse import Event
from api.metrics import TRACY_FIGURES
from api.tracy.citations import Citation, Known, check_text, cited_results
from api.tracy.reader import EvidenceBook
from api.tracy.sanitise import sanitise_markdown

# A line or a code block longer than this is let out in parts.
_MAX_BLOCK_CHARS: Final = 8_000


class Writer:
    """The text of one answer."""

    def __init__(self, book: EvidenceBook, known: Known, *, as_links: bool = True) -> None:
        self._as_links = as_links
        self._book = book
        self._known = known
        self._pending = ""
        self._num_citations = 0
        self.num_withheld = 0
        self.shown: list[str] = []

    async def write(self, piece: str) -> AsyncIterator[Event]:
        """Take a piece of text and let out the lines that are whole."""
        self._pending += piece
        while (end := self._end_of_block()) is not None:
            block, self._pending = self._pending[:end], self._pending[end:]
            async for event in self._let_out(block):
                yield event

    async def finish(self) -> AsyncIterator[Event]:
        """Let out the rest."""
        block, self._pending = self._pending, ""
        if block.strip():
            async for event in self._let_out(block if block.endswith("\n") else block + "\n"):
                yield event

    def clean_label(self, text: str) -> str:
        """Return a text for a chart without its figures: a label has no place for a citation."""
        label, citations = check_text(text, self._book.rereads(), self._known, as_links=False)
        self.num_withheld += sum(citation.status == "withheld" for citation in citations)
        return label

    def _end_of_block(self) -> int | None:
        end = self._pending.find("\n")
        if self._pending.lstrip(" \t>").startswith("```"):
            fence = self._pending.find("```", self._pending.find("```") + 3)
            end = self._pending.find("\n", fence) if fence >= 0 else -1
        if end < 0 and len(self._pending) > _MAX_BLOCK_CHARS:
            # Cut between words, so that a figure or an address is never seen in halves.
            space = self._pending.rfind(" ", 0, _MAX_BLOCK_CHARS)
            return space if space > 0 else _MAX_BLOCK_CHARS
        return end + 1 if end >= 0 else None

    async def _let_out(self, block: str) -> AsyncIterator[Event]:
        clean = sanitise_markdown(block)
        await asyncio.gather(*(self._book.reread(result_id) for result_id in cited_results(clean)))
        text, citations = check_text(
            clean,
            self._book.rereads(),
            self._known,
            next_number=self._num_citations + 1,
            as_links=self._as_links,
        )
        self._num_citations += len(citations)
        for citation in citations:
            TRACY_FIGURES.labels(citation.status).inc()
        self.num_withheld += sum(citation.status == "withheld" for citation in citations)
        self.shown.append(text)
        yield "text", {"text": text}
        for citation in citations:
            yield "citation", self._citation_event(citation)

    def _citation_event(self, citation: Citation) -> dict[str, Any]:
        event: dict[str, Any] = {
            "citation_id": citation.citation_id,
            "status": citation.status,
            "shown": citation.shown,
            "result": citation.result_id,
            "row": citation.row,
            "column": citation.column,
            "reason": citation.reason,
            "sql": None,
            "snapshots": {},
        }
        evidence = self._book.results.get(citation.result_id or "")
        if evidence is not None:
            reread = self._book.rereads().get(evidence.result_id)
            newer = reread.again if reread is not None and citation.status == "updated" else None
            event["sql"] = evidence.sql or None
            event["source"] = evidence.source
            event["snapshots"] = dict((newer or evidence.table).snapshots)
        return event
