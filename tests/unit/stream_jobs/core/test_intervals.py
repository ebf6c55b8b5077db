"""Sets of sequence numbers."""

from stream_jobs.core.intervals import MAX_RANGES, add_seq, is_gapless


def test_in_order_is_one_range() -> None:
    ranges: list[int] = []
    assert all(add_seq(ranges, seq) for seq in range(5, 1000))
    assert ranges == [5, 999]
    assert not add_seq(ranges, 7)


def test_gaps_close() -> None:
    ranges: list[int] = []
    assert [add_seq(ranges, seq) for seq in (5, 7, 5, 6, 1, 3, 2, 4, 6)] == [True, True, False, *[True] * 5, False]
    assert ranges == [1, 7]


def test_gapless() -> None:
    ranges = [1, 4, 6, 6, 9, 12]
    assert is_gapless(ranges, 1, 4)
    assert is_gapless(ranges, 6, 6)
    assert is_gapless(ranges, 12, 12)
    assert not is_gapless(ranges, 4, 6)
    assert not is_gapless(ranges, 5, 6)
    assert not is_gapless(ranges, 0, 1)
    assert not is_gapless([], 0, 0)


def test_memory_is_bounded() -> None:
    ranges: list[int] = []
    for seq in range(0, 8 * MAX_RANGES, 2):
        assert add_seq(ranges, seq)
    assert len(ranges) <= 2 * MAX_RANGES
    assert not add_seq(ranges, 1)
    assert add_seq(ranges, 8 * MAX_RANGES - 3)
