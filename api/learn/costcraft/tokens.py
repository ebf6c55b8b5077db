"""How many tokens a text is, said too high rather than too low.

Upstream: the text of a skill.
Downstream: the limit of api/learn/costcraft/craft.py.
Guarantee: the same number everywhere and always; longer texts are never fewer tokens.

No tokeniser is asked: each model has its own, and a limit that depends on one is none. Small letters are taken as four
to a token, which is what English words need at most on average; capitals as two, and every digit, sign, line end and
byte beyond ASCII as one, which is the worst that byte-pair encoders do with them. A single space goes with its word.
"""

import re
from typing import Final

MAX_SKILL_TOKENS: Final = 1_200

_PIECES: Final = re.compile(r"[a-z]+|[A-Z]+|[0-9]|\n|[^\S\n]{2,}|[^\sA-Za-z0-9]")


def count_tokens(text: str) -> int:
    """Return an upper estimate of the tokens of a text."""
    return sum(map(_tokens_of, _PIECES.findall(text)))


def _tokens_of(piece: str) -> int:
    if piece.isascii() and piece.isalpha():
        letters = 4 if piece.islower() else 2
        return (len(piece) + letters - 1) // letters
    return len(piece.encode(errors="replace"))
