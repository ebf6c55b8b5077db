"""The check of expressions is itself able to fail."""

import pytest

from tests.unit.infra.observability.promql import ask


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(", "unclosed"),
        ("1 + 2", "no metric"),
        ("clawtrace_sink_lag", "there is no clawtrace_sink_lag"),
        ("rate(clawtrace_sink_lag_records[5m])", "no counter"),
        ("clawtrace_gateway_batches_total", "only ever rises"),
        ("rate(clawtrace_gateway_batches[5m])", "there is no clawtrace_gateway_batches"),
        ('clawtrace_sink_lag_records{table="events"}', "has no table"),
        ("sum by (table) (clawtrace_sink_lag_records)", "nothing in it has table"),
        ("sum(rate(clawtrace_sink_commit_seconds[5m]))", "there is no clawtrace_sink_commit_seconds"),
    ],
)
def test_what_cannot_work_is_found(expression: str, fault: str) -> None:
    assert fault in "; ".join(ask(expression).faults)


@pytest.mark.parametrize(
    "expression",
    [
        'max by (topic) (clawtrace_sink_lag_records{job="clawtrace-sink"}) > 5',
        "time() - max(clawtrace_sink_last_commit_timestamp_seconds)",
        "histogram_quantile(0.9, sum by (le, table) (rate(clawtrace_sink_commit_seconds_bucket[$__rate_interval])))",
        "(sum(increase(clawtrace_sink_dead_letters_total[1h])) or vector(0)) > 0 unless up",
    ],
)
def test_what_works_has_no_fault(expression: str) -> None:
    asked = ask(expression)
    assert not asked.faults
    assert asked.metrics
