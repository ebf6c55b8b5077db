"""Who asks that history be priced again has just changed the price file: it is looked at, whenever it was last."""

from pathlib import Path
from typing import Any, cast

from producers.contracts.reprice import HOOK
from stream_jobs.core.cost import PriceBook
from stream_jobs.processors.compose import FileCore
from stream_jobs.rules.reader import RuleRowsReader
from stream_jobs.settings import StitcherSettings
from tests.unit.stream_jobs.core.stitching import Replay, batch_of, events_of, lines_of, make_event

NOW_MS = 1_795_500_000_000
OLD, NEW = (
    f'[[price]]\nprovider = "fake"\nmodel = "sim-1"\ninput_usd_per_mtok = "{usd}"\noutput_usd_per_mtok = "9"\n'
    for usd in (3, 40)
)


def test_history_is_priced_by_the_file_as_it_is_now(tmp_path: Path) -> None:
    settings = StitcherSettings(home=tmp_path)
    settings.prices_file.parent.mkdir(parents=True)
    settings.prices_file.write_text(OLD)
    events = events_of(lines_of("subagent"))
    before = Replay(pricer=PriceBook.from_toml(OLD)).feed_each(events, 7)
    calls = [it for it in before.of_kind("model_call") if it.model == "sim-1"]
    assert calls
    expected = PriceBook.from_toml(NEW).find_price("acme01", "fake", "sim-1", calls[0].started_at_us)
    assert expected is not None
    with RuleRowsReader(settings, tmp_path / "rows.json") as rows:
        core = FileCore(settings, rows)
        settings.prices_file.write_text(NEW)
        spans = [{"span_id": it.span_id, "price_id": expected.price_id} for it in calls]
        asked = batch_of([make_event(len(events), HOOK, NOW_MS, {"spans": spans, "reason": "test"}, {})])
        result = core.stitch(cast(Any, before.store), asked, 1_000)
    priced = {it.span_id: it.price_id for it in result.spans if it.kind == "model_call"}
    assert priced == {it.span_id: expected.price_id for it in calls}
