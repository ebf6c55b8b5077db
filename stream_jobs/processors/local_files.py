"""The local copy of one partition's state: RocksDB files, and how much of the changelog is in them.

Upstream: ``local_state`` applies what the changelog holds, in its order.
Downstream: the core reads the state here.
Guarantee: the files are the changelog up to ``next_offset``, at every instant: changes and offset are one write. After
``kill -9`` they are as they were at that offset.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict

from stream_jobs.core.state import KEPT_US
from stream_jobs.processors.journal import Change
from stream_jobs.processors.state import FileStore, as_batch

_log = structlog.get_logger(__name__)

_MIB: Final = 1024 * 1024
MEMTABLE_BYTES: Final = 8 * _MIB
_NUM_MEMTABLES: Final = 2
_BLOCK_CACHE_BYTES: Final = 32 * _MIB
_BLOOM_BITS: Final = 10
_MAX_OPEN_FILES: Final = 256
# Seconds after the last write; what is older goes when its file is compacted.
TTL_S: Final = KEPT_US // 1_000_000
# Far below the day for which Kafka keeps deletions in a compacted topic: older files could miss one.
MAX_AGE_S: Final = 12 * 3600.0
# Begins like no key of the store (``journal``).
NEXT_OFFSET_KEY: Final = b"\x00next_offset"


class LocalFiles:
    """One partition; open until the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if is_too_old(path):
            _log.warning("local_state_dropped", folder=str(path), reason="nobody has written to it for hours")
            shutil.rmtree(path)
        self._open()

    def _open(self) -> None:
        self._files = open_files(self.path)
        self._store = FileStore(self._files)
        self.next_offset = int(self._files.get(NEXT_OFFSET_KEY) or 0)
        self._applied_at_s = time.time()

    def get(self, key: bytes, /) -> bytes | None:
        """Return a value or None."""
        return self._store.get(key)

    def scan(self, prefix: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin so, with their values, in their order."""
        return self._store.scan(prefix)

    def apply(self, changes: Sequence[Change], next_offset: int) -> None:
        """Write what the changelog holds from ``self.next_offset`` to ``next_offset``."""
        batch = as_batch(changes)
        batch.put(NEXT_OFFSET_KEY, str(next_offset).encode())
        self._files.write(batch)
        self.next_offset = next_offset
        self._applied_at_s = time.time()

    @property
    def is_outdated(self) -> bool:
        """Whether nothing was written for so long that a deletion may be missed."""
        return time.time() - self._applied_at_s > MAX_AGE_S

    def clear(self, reason: str) -> None:
        """Begin with nothing."""
        _log.warning("local_state_dropped", folder=str(self.path), reason=reason)
        self._files.close()
        del self._files, self._store
        shutil.rmtree(self.path)
        self._open()


def is_too_old(path: Path) -> bool:
    """Whether files lie there to which nobody wrote for hours."""
    written_at_s = max((file.stat().st_mtime for file in path.glob("*")), default=time.time())
    return time.time() - written_at_s > MAX_AGE_S


def open_files(path: Path, ttl_s: int = TTL_S) -> Any:
    """Open RocksDB with bounded memory; its defaults are three memtables of 64 MiB and files that are all kept open.

    Fault of rocksdict 0.3.29: files that are there already it opens with the options that lie beside them instead of
    those given, the filter of the time to live among them, and puts a second one round that. The inner one then takes
    the last four bytes of each value for the instant at which it was written, and the next compaction, after four
    restarts, deletes nearly all. With the column family named it takes the options given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(_NUM_MEMTABLES)
    options.set_max_open_files(_MAX_OPEN_FILES)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_BLOCK_CACHE_BYTES))
    blocks.set_bloom_filter(_BLOOM_BITS, block_based=False)
    options.set_block_based_table_factory(blocks)
    families = {"default": options} if (path / "CURRENT").exists() else None
    return Rdict(str(path), options=options, column_families=families, access_type=AccessType.with_ttl(ttl_s))
