"""Takes out of Markdown whatever could reach another host or run: images, links that leave, HTML, addresses.

Upstream: text of the model, which repeats what agents and tools wrote.
Downstream: api/tracy/citations.py, then the clients, which render Markdown.
Guarantee: what comes out holds no image, no HTML tag, no address with a scheme and no link but to a page of ours
(PAGES). It works on the characters and not on a parse, so that no reading of the Markdown brings one back.
"""

import re
import unicodedata
from typing import Final

LINK_REMOVED: Final = "(link removed)"
# Pages of the web UI that a text may link to, and what may stand in such a path. No %, &, \ or //: a renderer
# would decode them into something else.
_ID: Final = r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,199}"
PAGES: Final = re.compile(rf"/(?:traces|agents|alerts|sessions|tracy)(?:/{_ID})?(?:\?(?:span|trace|agent)={_ID})?")

_IMAGE: Final = re.compile(r"!+(?=\[)")
_DESTINATION: Final = re.compile(r"\]\(([^()\s]*)[^()]*\)")
_DEFINITION: Final = re.compile(r"^[ \t>*+-]*\[[^\]\n]*\]:.*$", re.M)
_ADDRESS: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?[/\\]{2,}\S*", re.I)
_SCHEME: Final = re.compile(r"\b(?:javascript|vbscript|data|file|blob|mailto)\s*:\S*", re.I)
_WWW: Final = re.compile(r"\bwww\.\S*", re.I)
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_REMAINING: Final = re.compile(r"\](?=\()")


def sanitise_markdown(text: str) -> str:
    """Return the text without what could reach out. Applying it twice changes nothing more."""
    text = strip_invisible(text)
    text = _IMAGE.sub("", text)
    text = _DEFINITION.sub(LINK_REMOVED, text)
    text = _DESTINATION.sub(_kept_destination, text)
    text = _ADDRESS.sub(LINK_REMOVED, text)
    text = _SCHEME.sub(LINK_REMOVED, text)
    text = _WWW.sub(LINK_REMOVED, text)
    text = _TAG.sub("&lt;", text)
    return _REMAINING.sub(_apart, text)


def plain_label(text: str, max_chars: int) -> str:
    """Return the text as a label of a chart: one line, without markup, templates and addresses; cut."""
    text = " ".join(sanitise_markdown(text).split())
    text = re.sub(r"[<>{}\\`\[\]|]", " ", text.replace("&lt;", " "))
    text = " ".join(text.split())
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def strip_invisible(text: str) -> str:
    """Take out control characters, and those that reorder or hide text; line ends and tabs stay."""
    return "".join(
        char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs", "Cn")
    )


def storable_text(text: str) -> str:
    """Take out what no UTF-8 text in Postgres may hold: NUL, other controls, halves of pairs."""
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs"))


def _kept_destination(match: re.Match[str]) -> str:
    return f"]({match[1]})" if PAGES.fullmatch(match[1]) else "]"


def _apart(match: re.Match[str]) -> str:
    # A link that stayed begins with a page of ours; any other "](" is taken apart, which makes it text.
    following = match.string[match.end() :]
    end = following.find(")")
    return "]" if end > 0 and PAGES.fullmatch(following[1:end]) else "] "
