"""The newest minutes of every tenant, in the order they came, in bounded memory.

Upstream: api/live/hub.py adds records.
Downstream: streams read on from where they are; trace pages look up what is newer than the tables.
Guarantee: pure. What was put out is known: below ``floor`` something may be missing, above it nothing is. A tenant is
only ever shown its own log.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from api.live.position import Position, furthest, place_value
from api.live.records import LiveItem
from stream_jobs.contracts.span import Span

# What an entry costs beside the bytes of its events.
_ENTRY_BYTES = 600
_ITEM_BYTES = 300


@dataclass(slots=True)
class Entry:
    """One record. ``position`` is where a reader is that has read it and all that came before it."""

    tenant_id: str
    place: int
    offset: int
    at_us: int
    items: tuple[LiveItem, ...]
    position: Position
    num_items_before: int = 0

    @property
    def num_bytes(self) -> int:
        """What it costs in memory, roughly."""
        return _ENTRY_BYTES + sum(_ITEM_BYTES + len(item.packed) for item in self.items)


@dataclass(slots=True)
class LiveTrace:
    """The newest revisions of one trace and of its spans that came within the window."""

    trace_date: str
    agent_id: str
    trace: LiveItem | None = None
    spans: dict[str, LiveItem] = field(default_factory=dict)

    def span_values(self) -> list[Span]:
        """The spans that are here now."""
        values = [item.value() for item in list(self.spans.values())]
        return [value for value in values if isinstance(value, Span)]


class TenantLog:
    """One tenant's entries, numbered without holes from the first one ever."""

    def __init__(self, floor: Position) -> None:
        self.floor = floor
        self.num_bytes = 0
        self.num_items = 0
        self.first = 0
        self._entries: deque[Entry] = deque()
        self.traces: dict[str, dict[str, LiveTrace]] = {}

    @property
    def next(self) -> int:
        """Number that the next entry gets."""
        return self.first + len(self._entries)

    def entry(self, number: int) -> Entry:
        """Entry of that number, which must be there."""
        return self._entries[number - self.first]

    def num_items_before(self, number: int) -> int:
        """Events of the tenant before an entry; all there ever were for the next one."""
        return self.num_items if number >= self.next else self.entry(number).num_items_before

    def read(self, number: int, limit: int) -> list[Entry]:
        """At most ``limit`` entries from that number on; numbers below the first one are the first one's."""
        start = max(number, self.first) - self.first
        # Readers are at the end nearly always, where a deque is as quick as a list.
        return [self._entries[at] for at in range(start, min(start + limit, len(self._entries)))]

    def add(self, entry: Entry) -> None:
        """Put an entry at the end."""
        entry.num_items_before = self.num_items
        self.num_items += len(entry.items)
        self.num_bytes += entry.num_bytes
        self._entries.append(entry)
        for item in entry.items:
            if item.kind in ("span", "trace") and item.trace_id is not None:
                self._note(item, item.trace_id)

    def drop_first(self) -> Entry:
        """Take the oldest entry out."""
        entry = self._entries.popleft()
        self.first += 1
        self.num_bytes -= entry.num_bytes
        for item in entry.items:
            if item.kind in ("span", "trace") and item.trace_id is not None:
                self._forget(item, item.trace_id)
        return entry

    def forget_items(self, is_gone: Callable[[LiveItem], bool]) -> int:
        """Take events out wherever they are; return the bytes that this frees."""
        before = self.num_bytes
        for entry in self._entries:
            gone = [item for item in entry.items if is_gone(item)]
            if not gone:
                continue
            self.num_bytes -= entry.num_bytes
            entry.items = tuple(item for item in entry.items if item not in gone)
            self.num_bytes += entry.num_bytes
            for item in gone:
                if item.kind in ("span", "trace") and item.trace_id is not None:
                    self._forget(item, item.trace_id)
        return before - self.num_bytes

    def _note(self, item: LiveItem, trace_id: str) -> None:
        traces = self.traces.setdefault(trace_id, {})
        known = traces.get(item.agent_id)
        if known is None:
            value = item.value()
            known = traces[item.agent_id] = LiveTrace(getattr(value, "trace_date", ""), item.agent_id)
        if item.kind == "trace":
            known.trace = item
        else:
            known.spans[item.key] = item

    def _forget(self, item: LiveItem, trace_id: str) -> None:
        traces = self.traces.get(trace_id, {})
        known = traces.get(item.agent_id)
        if known is None:
            return
        if known.trace is item:
            known.trace = None
        elif known.spans.get(item.key) is item:
            del known.spans[item.key]
        if known.trace is None and not known.spans:
            del traces[item.agent_id]
            if not traces:
                del self.traces[trace_id]


class LiveWindow:
    """All tenants' logs. Use it from one thread."""

    def __init__(self, floor: Position, *, max_age_us: int, tenant_bytes: int, total_bytes: int) -> None:
        self._floor = floor
        self._max_age_us, self._tenant_bytes, self._total_bytes = max_age_us, tenant_bytes, total_bytes
        self._logs: dict[str, TenantLog] = {}
        self._arrivals: deque[tuple[int, str, int]] = deque()
        self.num_bytes = 0
        self.num_records = 0

    def log(self, tenant_id: str) -> TenantLog:
        """The tenant's log; one that holds nothing when nothing of it came."""
        return self._logs.get(tenant_id) or TenantLog(self._floor)

    def floor(self, tenant_id: str) -> Position:
        """From where on the tenant's log is whole."""
        log = self._logs.get(tenant_id)
        return self._floor if log is None else furthest(self._floor, log.floor)

    def add(self, entry: Entry) -> None:
        """Add a record, and put out what is too old or too much."""
        log = self._logs.setdefault(entry.tenant_id, TenantLog(self._floor))
        self._arrivals.append((entry.at_us, entry.tenant_id, log.next))
        log.add(entry)
        self.num_records += 1
        self.num_bytes += entry.num_bytes
        while log.num_bytes > self._tenant_bytes:
            self._put_out(log)
        while self.num_bytes > self._total_bytes:
            self._put_out(max(self._logs.values(), key=lambda one: one.num_bytes))
        self.forget_before(entry.at_us - self._max_age_us)

    def forget_items(self, tenant_id: str, is_gone: Callable[[LiveItem], bool]) -> None:
        """Take events of a tenant out, wherever they are."""
        self.num_bytes -= self.log(tenant_id).forget_items(is_gone)

    def forget_before(self, at_us: int) -> None:
        """Put out what came before an instant."""
        while self._arrivals and self._arrivals[0][0] < at_us:
            _, tenant_id, number = self._arrivals.popleft()
            # Otherwise it went before, because its tenant had too much.
            if number == self._logs[tenant_id].first:
                self._put_out(self._logs[tenant_id])

    def _put_out(self, log: TenantLog) -> None:
        entry = log.drop_first()
        self.num_records -= 1
        self.num_bytes -= entry.num_bytes
        values = list(log.floor)
        values[entry.place] = max(values[entry.place], place_value(entry.offset + 1))
        log.floor = tuple(values)
