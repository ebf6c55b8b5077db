"""The guard alone, by reading: whatever is made out of hostile texts, what the guard writes names nothing but views.

It is read by a second reader here, which knows no trees: words outside strings. That the written text shows nothing
when the engine's rules are off is tried in tests/integration/api/test_wall.py.
"""

import logging
import re
from collections import Counter

import pytest

from api.sqlguard.admit import admit_sql
from api.sqlguard.errors import SqlRefused
from api.sqlguard.manifest import view_columns
from tests.unit.api.sql_corpus import CROSSING, REFUSED
from tests.unit.api.sql_mutations import mutations

COLUMNS = view_columns()
NUM_TEXTS = 1_500
_STRING = re.compile(r"'(?:[^']|'')*'")
_QUALIFIED = re.compile(r'"?(\w+)"?\s*\.\s*"?(\w+)"?\s*\.')
# Words of what the engine would refuse: none may be left for it to refuse. (A column may be called like none of them.)
_FORBIDDEN = re.compile(
    r"\b(silver|iceberg|system|information_schema|public|runtime|metadata|jdbc|current_user|current_role|session|"
    r"version\s+as|timestamp\s+as|execute|prepare|explain|describe|call|create|insert|delete|update|drop|alter|merge|"
    r"grant|function|tablesample|match_recognize|json_table|table_changes|query_id|evil|leak)\b",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    seeds = [text for texts in REFUSED.values() for text in texts] + list(CROSSING)
    return mutations(seeds, NUM_TEXTS, own="ownone", foreign="foreignone")


def test_the_same_seed_makes_the_same_texts(texts: list[str]) -> None:
    again = mutations(list(CROSSING), 20, own="ownone", foreign="foreignone")
    assert again == mutations(list(CROSSING), 20, own="ownone", foreign="foreignone")
    assert len(set(texts)) == NUM_TEXTS


def test_what_the_guard_writes_of_a_mutation_names_only_views(texts: list[str]) -> None:
    outcomes: Counter[str] = Counter()
    for text in texts:
        try:
            admitted = admit_sql(text, COLUMNS, 100)
        except SqlRefused as refusal:
            outcomes[refusal.code] += 1
            continue
        outcomes["admitted"] += 1
        words = _STRING.sub("''", admitted.sql)
        assert re.match(r"\(*(SELECT|WITH)\b", words), text
        assert not re.search(r"[;$`@\\\x00-\x1f]|--|/\*", words), text
        assert not _FORBIDDEN.search(words), (text, admitted.sql)
        assert all(schema.lower() == "clawtrace" for schema, _ in _QUALIFIED.findall(words)), (text, admitted.sql)
        assert set(admitted.tables) <= set(COLUMNS)
    # Otherwise the mutations would only try the parser, or only one rule of the guard.
    assert outcomes["admitted"] > NUM_TEXTS / 20
    assert len([code for code, count in outcomes.items() if count >= 10]) >= 8, outcomes
