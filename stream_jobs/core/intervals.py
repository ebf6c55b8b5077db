"""Which sequence numbers of a spool have been applied.

Upstream: ``stream_jobs.core.stitch`` asks before it applies an event.
Downstream: the usage join and the runs without a trace ask whether anything between two numbers is still missing.
Guarantee: a number is reported as new once; memory is bounded, at the price that beyond MAX_RANGES gaps the
oldest gap is given up (what later arrives in it is dropped as a duplicate).
"""

from bisect import bisect_right

MAX_RANGES = 512


def add_seq(ranges: list[int], seq: int) -> bool:
    """Add a number in place; False when it was there.

    ``ranges`` is flat: first, last, first, last … ascending, never touching.
    """
    if not ranges:
        ranges += (seq, seq)
        return True
    if seq == ranges[-1] + 1:
        ranges[-1] = seq
        return True
    position = bisect_right(ranges, seq)
    if position % 2 or (position and ranges[position - 1] == seq):
        return False
    joins_left = position > 0 and ranges[position - 1] == seq - 1
    joins_right = position < len(ranges) and ranges[position] == seq + 1
    if joins_left and joins_right:
        del ranges[position - 1 : position + 1]
    elif joins_left:
        ranges[position - 1] = seq
    elif joins_right:
        ranges[position] = seq
    else:
        ranges[position:position] = (seq, seq)
    if len(ranges) > 2 * MAX_RANGES:
        del ranges[1:3]
    return True


def is_gapless(ranges: list[int], first: int, last: int) -> bool:
    """Whether every number from first to last has been applied."""
    position = bisect_right(ranges, first)
    if position % 2 == 0:
        # Only a range of one number, or the end of a range, lies exactly on ``first``.
        return first == last and position > 0 and ranges[position - 1] == first
    return last <= ranges[position]
