"""What a PromQL expression asks for, and whether there is such a thing."""

from dataclasses import dataclass, field
from typing import Any

import promql_parser

from tests.contract.reference import metrics

# Labels that Prometheus itself adds.
TARGET_LABELS = frozenset({"job", "instance"})
# What every scrape and every client library adds.
COMMON_METRICS = {
    "up": "gauge",
    "process_start_time_seconds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_cpu_seconds_total": "counter",
}
COUNTER_FUNCTIONS = frozenset({"rate", "increase", "irate"})


@dataclass(frozen=True)
class Series:
    """A name that can be asked for."""

    type: str
    labels: frozenset[str]


@dataclass
class Asked:
    """What an expression uses, and what is wrong with it."""

    metrics: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


def known_series() -> dict[str, Series]:
    """Every series of every process, by the name that a scrape shows."""
    series = {name: Series(type_, TARGET_LABELS) for name, type_ in COMMON_METRICS.items()}
    for _, metric in metrics():
        (family,) = metric.describe()
        labels = TARGET_LABELS | set(metric._labelnames)
        if family.type == "counter":
            series[f"{family.name}_total"] = Series("counter", labels)
        elif family.type == "histogram":
            series[f"{family.name}_bucket"] = Series("counter", labels | {"le"})
            series |= {f"{family.name}_{end}": Series("counter", labels) for end in ("sum", "count")}
        else:
            series[family.name] = Series("gauge", labels)
    return series


def metric_of(series: str) -> str:
    """Name of the metric as the reference page has it."""
    for end in ("_bucket", "_sum", "_count"):
        series = series.removesuffix(end)
    return series


def ask(expression: str) -> Asked:
    """Take an expression apart; a syntax error is a fault."""
    known, asked = known_series(), Asked()
    try:
        # A variable of Grafana stands where a duration does.
        tree = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    except ValueError as error:
        asked.faults.append(f"{expression}: {error}")
        return asked

    def see_selector(selector: Any, function: str) -> None:
        series = known.get(selector.name)
        asked.metrics.add(selector.name)
        if series is None:
            asked.faults.append(f"there is no {selector.name}")
            return
        asked.labels |= series.labels
        if function in COUNTER_FUNCTIONS and series.type != "counter":
            asked.faults.append(f"{function} of {selector.name}, which is no counter")
        if not function and series.type == "counter":
            asked.faults.append(f"{selector.name} only ever rises: ask for its rate or increase")
        unknown = {matcher.name for matcher in selector.matchers.matchers} - series.labels
        if unknown:
            asked.faults.append(f"{selector.name} has no {', '.join(sorted(unknown))}")

    def see(node: Any, function: str = "") -> None:
        if isinstance(node, promql_parser.VectorSelector):
            see_selector(node, function)
        elif isinstance(node, promql_parser.MatrixSelector):
            see_selector(node.vector_selector, function)
        elif isinstance(node, promql_parser.Call):
            for argument in node.args:
                see(argument, node.func.name)
        elif isinstance(node, promql_parser.BinaryExpr):
            see(node.lhs)
            see(node.rhs)
        elif isinstance(node, promql_parser.AggregateExpr):
            see(node.expr)
            missing = set(node.modifier.labels if node.modifier is not None else ()) - asked.labels
            if missing:
                asked.faults.append(f"nothing in it has {', '.join(sorted(missing))}")
        elif isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr):
            see(node.expr)
        elif not isinstance(node, promql_parser.NumberLiteral):
            asked.faults.append(f"{type(node).__name__} is not understood here")

    see(tree)
    if not asked.metrics:
        asked.faults.append(f"{expression}: asks for no metric")
    return asked
