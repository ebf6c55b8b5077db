"""YAML is read back as what was written."""

from typing import Any

import strictyaml.ruamel as ruamel
from hypothesis import given
from hypothesis import strategies as st

from api.kit.yaml import yaml_text

texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",)), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts
keys = st.from_regex(r"[a-z_]{2,8}x", fullmatch=True)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_yaml_is_read_back(value: Any) -> None:
    assert ruamel.safe_load(yaml_text(value)) == value


def test_what_looks_like_something_else_stays_text() -> None:
    assert yaml_text({"a": "no", "b": ["1.0", {"c": []}]}) == 'a: "no"\nb:\n  - "1.0"\n  - c: []\n'
