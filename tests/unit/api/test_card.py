"""The card as the API shows it: all that the stitcher writes, and nothing refused that a newer one writes besides."""

import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest

from api.schemas.card import CARD_PARTS, TraceCard
from api.schemas.common import Tokens
from lakehouse.contracts.tables import table_named
from stream_jobs.contracts.card import Card
from stream_jobs.contracts.card_yaml import render_card
from tests.captures import SCENARIOS
from tests.unit.stream_jobs.core.stitching import replay

_COUNTS = {f"{kind}_tokens" for kind in Tokens.model_fields}
_SHOWN = set(TraceCard.model_fields) - {"tokens"} | _COUNTS


def stored(card: Card) -> dict[str, Any]:
    """The card as a row of the view: its lists are JSON."""
    lists = {name: msgspec.json.encode(getattr(card, name)).decode() for name in CARD_PARTS}
    fields = msgspec.structs.asdict(card)
    started_at_us = fields.pop("started_at_us")
    started_at = None if started_at_us is None else datetime.fromtimestamp(started_at_us / 1e6, UTC)
    return {**fields, **lists, "trace_date": date.fromisoformat(card.trace_date), "started_at": started_at}


def test_every_field_of_a_card_is_shown() -> None:
    assert {name.removesuffix("_us") for name in Card.__struct_fields__} - {"tenant_id", "rev"} == _SHOWN
    assert {column.name for column in table_named("cards").visible_columns} - {"tenant_id"} == _SHOWN


@pytest.mark.parametrize("name", CARD_PARTS)
def test_every_field_of_its_lists_is_shown(name: str) -> None:
    shown: Any = TraceCard.model_fields[name].annotation
    assert set(shown.__args__[0].model_fields) == set(CARD_PARTS[name].__struct_fields__)


def test_real_cards_say_the_same_in_json_and_in_yaml() -> None:
    cards = [card for scenario in SCENARIOS for card in replay(scenario).cards.values()]
    assert len(cards) > len(SCENARIOS) / 2
    for card in cards:
        shown = TraceCard.from_row(stored(card))
        assert shown.as_yaml() == render_card(card)
        document = shown.model_dump(mode="json")
        assert document["name"] == card.name
        assert [it["span_id"] for it in document["critical_path"]] == [it.span_id for it in card.critical_path]
        assert [it["name"] for it in document["top_cost_spans"]] == [it.name for it in card.top_cost_spans]


def test_what_a_newer_stitcher_adds_to_a_list_refuses_nothing() -> None:
    (card, *_) = replay("multi-tool").cards.values()
    row = stored(card)
    row["top_cost_spans"] = json.dumps([{**it, "of_the_future": 1} for it in json.loads(row["top_cost_spans"])])
    assert [it.span_id for it in TraceCard.from_row(row).top_cost_spans] == [it.span_id for it in card.top_cost_spans]
