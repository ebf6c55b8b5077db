"""The same log, stitched by a stitcher that nothing ever happens to.

Upstream: the records of ``clawtrace.events.v1``, as they lie in the topic.
Downstream: ``oracle`` compares what comes out with what the killed, paused and restarted stitcher left in the tables.
Guarantee: the shipped routine and core, one record after another, on a store in memory; no Faust, no broker, no crash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stream_jobs.contracts.alert import Alert, AlertBatch
from stream_jobs.contracts.span import Span, SpanBatch
from stream_jobs.contracts.trace import Trace, TraceBatch
from stream_jobs.core.cost import PriceBook
from stream_jobs.core.stitch import read_rules
from stream_jobs.processors.again import Again
from stream_jobs.processors.backtest import BookCore
from stream_jobs.processors.topology import Topology
from stream_jobs.settings import StitcherSettings

_TOPOLOGY: Final = Topology.with_prefix("")


@dataclass
class Calm:
    """Every revision that must be in the tables: (agent, revision, value)."""

    spans: list[tuple[str, int, Span]] = field(default_factory=list)
    traces: list[tuple[str, int, Trace]] = field(default_factory=list)
    alerts: list[tuple[str, int, Alert]] = field(default_factory=list)


def stitch_calmly(
    log: Mapping[int, Sequence[bytes]], settings: StitcherSettings, tenants: tuple[str, ...]
) -> dict[str, Calm]:
    """Stitch a whole log, partition by partition; return what it says of these tenants."""
    sent: list[tuple[str, bytes]] = []
    # The tenants of a campaign set no rules of their own.
    core = BookCore(PriceBook.from_toml(settings.prices_file.read_text()), read_rules(settings.rules_file.read_text()))
    with Again(core, _TOPOLOGY, settings.log_generation) as again:
        for partition, values in sorted(log.items()):
            for offset, value in enumerate(values):
                sent += again.work_on(partition, offset, value)
    found = {tenant_id: Calm() for tenant_id in tenants}
    for topic, value in sent:
        if topic == _TOPOLOGY.spans:
            spans = msgspec.json.decode(value, type=SpanBatch)
            if calm := found.get(spans.tenant_id):
                calm.spans += [(spans.agent_id, spans.rev, span) for span in spans.spans]
        elif topic == _TOPOLOGY.traces:
            traces = msgspec.json.decode(value, type=TraceBatch)
            if calm := found.get(traces.tenant_id):
                calm.traces += [(traces.agent_id, traces.rev, trace) for trace in traces.traces]
        elif topic == _TOPOLOGY.alerts:
            alerts = msgspec.json.decode(value, type=AlertBatch)
            if calm := found.get(alerts.tenant_id):
                calm.alerts += [(alerts.agent_id, alerts.rev, alert) for alert in alerts.alerts]
    return found
