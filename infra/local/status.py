"""Says how the stack is: what the supervisor knows, checked against the living processes.

Upstream: state file, process table, health checks.
Downstream: `clawtrace status`, programs that read its JSON.
Guarantee: ``ready`` is true only when every part answered its health check just now.
"""

from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from infra.local.layout import Layout
from infra.local.parts import Kind, Part
from infra.local.process import is_same_process, memory_bytes
from infra.local.state import PartRecord, PartState, Phase, StackRecord, living_supervisor, read_state
from infra.local.topology import build_topology


class Endpoints(BaseModel):
    """Where to reach the stack."""

    gateway: str
    api: str
    trino: str
    kafka: str
    postgres: str


class ProcessStatus(BaseModel):
    """One process of the stack."""

    name: str
    pid: int | None
    rss_bytes: int
    restarts: int
    state: PartState


class StackStatus(BaseModel):
    """The answer of `clawtrace status --json`; this shape is promised."""

    ready: bool
    endpoints: Endpoints
    processes: list[ProcessStatus]


def look(layout: Layout) -> tuple[StackStatus, bool]:
    """The status now, and whether a supervisor is alive."""
    alive = living_supervisor(layout.lock_file) is not None
    record = read_state(layout.state_file)
    parts = {part.name: part for part in build_topology(layout) if part.kind is Kind.PROCESS}
    if record is None or not alive:
        processes = [_stopped(name) for name in parts]
        return StackStatus(ready=False, endpoints=_endpoints(layout), processes=processes), False
    rows = [row for row in record.parts if row.kind == Kind.PROCESS]
    with ThreadPoolExecutor(max(1, len(rows))) as workers:
        processes = list(workers.map(lambda row: _check(row, parts.get(row.name)), rows))
    status = StackStatus(ready=_is_ready(record, processes), endpoints=_endpoints(layout), processes=processes)
    return status, True


def _is_ready(record: StackRecord, processes: list[ProcessStatus]) -> bool:
    return record.phase is Phase.READY and all(item.state is PartState.RUNNING for item in processes)


def _check(row: PartRecord, part: Part | None) -> ProcessStatus:
    state, pid, rss_bytes = row.state, row.pid, 0
    if pid is not None and not is_same_process(pid, row.created_at_s):
        # It died a moment ago; the supervisor will write the same soon.
        state, pid = PartState.BACKOFF, None
    if pid is not None:
        rss_bytes = memory_bytes(pid)
    if state is PartState.RUNNING and part is not None and part.probe is not None and not part.probe():
        state = PartState.STARTING
    return ProcessStatus(name=row.name, pid=pid, rss_bytes=rss_bytes, restarts=row.restarts, state=state)


def _stopped(name: str) -> ProcessStatus:
    return ProcessStatus(name=name, pid=None, rss_bytes=0, restarts=0, state=PartState.STOPPED)


def _endpoints(layout: Layout) -> Endpoints:
    settings = layout.settings
    try:
        postgres = settings.database_url()
    except FileNotFoundError:
        postgres = ""
    return Endpoints(
        gateway=settings.gateway_url,
        api=settings.api_url,
        trino=settings.trino_url,
        kafka=settings.kafka_bootstrap,
        postgres=postgres,
    )
