"""What was erased leaves the stitcher no more; its state goes on."""

from infra.runtime.tombstones import NO_TOMBSTONES, Tombstone, Tombstones
from stream_jobs.core.stitch import StitchResult
from stream_jobs.processors.erased import without_erased
from tests.unit.lakehouse import records as make


def result() -> StitchResult:
    """One of each, of one trace, and a span of another."""
    return StitchResult(
        changes={b"k": b"v"},
        spans=[make.span("t1", "s1", 1, run_id="r1"), make.span("t2", "s2", 1)],
        traces=[make.trace("t1", 1)],
        alerts=make.alert_batch(1).alerts,
        cards=make.card_batch(1).cards,
    )


def test_only_outputs_about_it_are_left_out() -> None:
    stones = Tombstones.of(1, [Tombstone(make.TENANT, "trace", "t1")])
    kept = without_erased(stones, make.TENANT, make.AGENT, result())
    assert [span.span_id for span in kept.spans] == ["s2"]
    assert (kept.traces, kept.alerts, kept.cards) == ([], [], [])
    assert kept.changes == {b"k": b"v"}


def test_others_are_not_touched() -> None:
    whole = result()
    assert without_erased(NO_TOMBSTONES, make.TENANT, make.AGENT, whole) is whole
    stones = Tombstones.of(1, [Tombstone("other0", "trace", "t1")])
    assert without_erased(stones, make.TENANT, make.AGENT, whole) is whole
