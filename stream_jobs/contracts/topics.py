"""The topics that stream_jobs own.

Upstream: the stitcher writes them; budget alerts come from the keeper of budgets, scores and its own alerts from the
learner.
Downstream: the sink, the keeper of budgets, the learner and the notifier, later the live view.
Guarantee: what comes from partition *p* of the events lies in partition *p* here, in the order of its source
offsets; so one number per partition tells a reader what it has already seen. What keeper and learner write carries the
number of their transaction instead, which grows as offsets do.
"""

from infra.runtime.topics import TopicSpec
from stream_jobs.contracts.alert import AlertBatch
from stream_jobs.contracts.card import CardBatch
from stream_jobs.contracts.score import ScoreBatch
from stream_jobs.contracts.span import SpanBatch
from stream_jobs.contracts.spend import SpendBatch
from stream_jobs.contracts.trace import TraceBatch

SPANS = TopicSpec(
    name="clawtrace.spans.v1",
    record_type=SpanBatch,
    description="Revisions of spans, one record for each source record that changed any.",
    readers=("sink",),
)
TRACES = TopicSpec(
    name="clawtrace.traces.v1",
    record_type=TraceBatch,
    description="Revisions of trace roll-ups.",
    readers=("sink",),
)
ALERTS = TopicSpec(
    name="clawtrace.alerts.v1",
    record_type=AlertBatch,
    description="Alerts as they change state.",
    readers=("sink", "notifier"),
)
CARDS = TopicSpec(
    name="clawtrace.cards.v1",
    record_type=CardBatch,
    description="TraceCards of closed traces.",
    readers=("sink", "learner"),
)

SPEND = TopicSpec(
    name="clawtrace.spend.v1",
    record_type=SpendBatch,
    description="Differences in the cost of model calls, from which budgets are settled.",
    readers=("budgets",),
)

BUDGET_ALERTS = TopicSpec(
    name="clawtrace.budget-alerts.v1",
    record_type=AlertBatch,
    description="Alerts about budgets as they change state; rev is the number of the keeper's transaction.",
    readers=("sink", "notifier"),
)

LEARN_ALERTS = TopicSpec(
    name="clawtrace.learn-alerts.v1",
    record_type=AlertBatch,
    description="Alerts of the learner as they change state; rev is the number of its transaction.",
    readers=("sink", "notifier"),
)

SCORES = TopicSpec(
    name="clawtrace.scores.v1",
    record_type=ScoreBatch,
    description="Scores of runs by rules, models and people; rev is the number of the learner's transaction.",
    readers=("sink",),
)

OUTPUTS: tuple[TopicSpec, ...] = (SPANS, TRACES, ALERTS, CARDS, SPEND)
TOPICS: tuple[TopicSpec, ...] = tuple(
    spec for output in (*OUTPUTS, BUDGET_ALERTS, LEARN_ALERTS, SCORES) for spec in (output, output.dead_letter)
)
