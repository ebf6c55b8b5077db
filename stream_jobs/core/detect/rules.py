"""All rules, in the order in which they look.

Upstream: ``ws.facts``.
Downstream: alerts, verdicts and marks in the workspace.
Guarantee: deterministic; a rule is added by one line here, and a test sees that it is documented.
"""

from collections.abc import Callable
from typing import Final

from stream_jobs.core.detect.blindness import Blindness
from stream_jobs.core.detect.context_growth import ContextGrowth
from stream_jobs.core.detect.cost_forecast import CostForecast
from stream_jobs.core.detect.cost_rate import CostRate
from stream_jobs.core.detect.error_cascade import ErrorCascade
from stream_jobs.core.detect.failing_variants import FailingVariants
from stream_jobs.core.detect.no_data import NoData
from stream_jobs.core.detect.ping_pong import PingPong
from stream_jobs.core.detect.redundant_tool_calls import RedundantToolCalls
from stream_jobs.core.detect.repeated_result import RepeatedResult
from stream_jobs.core.detect.reread_file import RereadFile
from stream_jobs.core.detect.retry_storm import RetryStorm
from stream_jobs.core.detect.rule import Rule
from stream_jobs.core.detect.rulebook import TableName
from stream_jobs.core.detect.run_cost import RunCost
from stream_jobs.core.detect.session_cost import SessionCost
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.detect.spawn_chain import SpawnChain
from stream_jobs.core.detect.stuck_run import StuckRun
from stream_jobs.core.detect.subagent_death import SubagentDeath
from stream_jobs.core.detect.tool_errors import ToolErrors
from stream_jobs.core.detect.tool_loop import ToolLoop
from stream_jobs.core.detect.unpriced_model import UnpricedModel
from stream_jobs.core.facts import Fact, FactKind
from stream_jobs.core.workspace import Workspace

RULES: Final[tuple[Rule, ...]] = (
    RunCost(),
    SessionCost(),
    CostRate(),
    CostForecast(),
    ContextGrowth(),
    StuckRun(),
    ToolErrors(),
    SubagentDeath(),
    UnpricedModel(),
    NoData(),
    Blindness(),
    ErrorCascade(),
    FailingVariants(),
    PingPong(),
    RedundantToolCalls(),
    RepeatedResult(),
    RereadFile(),
    RetryStorm(),
    SpawnChain(),
    ToolLoop(),
)
SETTINGS_TYPES: Final[dict[TableName, type[RuleSettings]]] = {rule.name: rule.settings_type for rule in RULES}
_LOOKS: Final[dict[FactKind, list[Callable[[Workspace, Fact], None]]]] = {}
for _rule in RULES:
    for _kind in _rule.wants:
        _LOOKS.setdefault(_kind, []).append(_rule.look)


def detect(ws: Workspace) -> None:
    """Show the facts noted since the last time to the rules that want them."""
    for fact in ws.take_facts():
        for look in _LOOKS.get(fact.kind, ()):
            look(ws, fact)
