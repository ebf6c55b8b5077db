"""The door for trying a rule: what it would have done to events that are stored, for whoever reads them.

Upstream: the API, which gives the events of one tenant and starts ``python -m stream_jobs.backtest``.
Downstream: ``stream_jobs.processors.backtest``, in that process.
Guarantee: whatever a backtest takes of time and memory, it takes from a process of its own, which knows no secret, no
topic and no table. Standard input is frames, each its length in four bytes (big-endian) and JSON: the order, then
batches of events, then a frame of no bytes. Standard output is the result as JSON. Exit code 2 and one line on standard
error when the order cannot be.
"""

import os
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from producers.contracts.event import EventBatch, decode_event_batch, encode_event_batch
from stream_jobs.core.learn.halts import Firing, StoppedRun
from stream_jobs.processors.backtest import AlertNow, Backtest, BacktestOrder, BacktestResult, rules_to_try
from stream_jobs.rules.admin import check_settings, read_tenant_rules
from stream_jobs.rules.errors import InvalidRule, NoSuchRule

__all__ = [
    "COMMAND",
    "EXIT_ORDER",
    "AlertNow",
    "Backtest",
    "BacktestOrder",
    "BacktestResult",
    "Firing",
    "InvalidRule",
    "NoSuchRule",
    "StoppedRun",
    "check_settings",
    "decode_result",
    "frame_of_batch",
    "frame_of_order",
    "last_frame",
    "read_tenant_rules",
    "rules_to_try",
]

COMMAND: Final = (sys.executable, "-m", "stream_jobs.backtest")
EXIT_ORDER: Final = 2
_LENGTH_BYTES: Final = 4
# Whoever waits for an answer of the API comes first.
_NICENESS: Final = 10

_decode_order = msgspec.json.Decoder(BacktestOrder).decode
decode_result = msgspec.json.Decoder(BacktestResult).decode


def frame_of_order(order: BacktestOrder) -> bytes:
    """Make the first frame."""
    return _framed(msgspec.json.encode(order))


def frame_of_batch(batch: EventBatch) -> bytes:
    """Make a frame of events."""
    return _framed(encode_event_batch(batch))


def last_frame() -> bytes:
    """Make the frame behind the last batch."""
    return _framed(b"")


def main(source: BinaryIO, out: BinaryIO) -> int:
    """Work on frames; return the exit code."""
    frames = _frames(source)
    try:
        with Backtest.open(_decode_order(next(frames))) as backtest:
            for value in frames:
                backtest.take(decode_event_batch(value))
            out.write(msgspec.json.encode(backtest.finish()))
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_ORDER
    out.flush()
    return 0


def _framed(value: bytes) -> bytes:
    return len(value).to_bytes(_LENGTH_BYTES) + value


def _frames(source: BinaryIO) -> Iterator[bytes]:
    while length := int.from_bytes(_whole(source, _LENGTH_BYTES)):
        yield _whole(source, length)


def _whole(source: BinaryIO, num_bytes: int) -> bytes:
    value = source.read(num_bytes)
    if len(value) < num_bytes:
        raise EOFError("whoever gave the events is gone")
    return value


if __name__ == "__main__":
    from infra.runtime.logging import configure_logging

    configure_logging("backtest")
    os.nice(_NICENESS)
    # A line that some library prints must not end up in the result.
    own_out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.exit(main(sys.stdin.buffer, own_out))
