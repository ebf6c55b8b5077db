"""Big traces: no value grows with them, no record is too large for its topic, the work keeps pace."""

import asyncio

import pytest

from infra.runtime.topics import MAX_RECORD_BYTES
from stream_jobs.processors.journal import CORE_PREFIX
from tests.faults.big_traces import SHAPES, CountingStore, Stitched, records_of, stitch

# Above the bounds of lists in values, so that a list without a bound shows.
SMALL, LARGE = 300, 1_200
# A run keeps its ancestors from falling silent, so a record writes as many values as the chain is deep.
SMALL_CHAIN, LARGE_CHAIN = 300, 600
# A journal's part has the mark of its journal around it.
MAX_CHANGE_BYTES = MAX_RECORD_BYTES + 1_000


def stitched(shape: str, num_spans: int) -> tuple[Stitched, CountingStore]:
    store = CountingStore()
    return asyncio.run(stitch(records_of(SHAPES[shape](num_spans)), store)), store


def largest_value(store: CountingStore) -> int:
    """Of the core's values; a journal is as long as what one record changes, and cut into parts."""
    return max(len(value) for _, value in store.scan(CORE_PREFIX))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trace_four_times_as_long_has_no_larger_values(shape: str) -> None:
    sizes = (SMALL_CHAIN, LARGE_CHAIN) if shape == "chain" else (SMALL, LARGE)
    (_, small_store), (large, large_store) = stitched(shape, sizes[0]), stitched(shape, sizes[1])
    assert sizes[1] <= large.num_spans <= sizes[1] + 1
    assert large.num_dead == 0
    # Room for longer numbers in them.
    assert largest_value(large_store) < 1.2 * largest_value(small_store), large.largest_change_key
    assert large.largest_output_bytes <= MAX_RECORD_BYTES
    assert large.largest_change_bytes <= MAX_CHANGE_BYTES, large.largest_change_key
    # A quadratic one moves sixteen times as much.
    factor = 4 if shape == "chain" else 5
    assert large_store.num_bytes_moved < factor * small_store.num_bytes_moved


def test_what_waits_for_a_late_parent_is_linked_from_every_page() -> None:
    found, store = stitched("orphans", LARGE)
    pages = [key for key, _ in store.scan(b"") if b"\x1fw\x1fharness-late\x1f" in key]
    assert len(pages) >= 2
    assert found.num_spans == LARGE
