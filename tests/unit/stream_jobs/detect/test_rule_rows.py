"""What tenants set over the rules' file: which layer decides, and what is left out."""

from decimal import Decimal

from stream_jobs.core.detect.rulebook import RuleBook, RuleRow
from stream_jobs.core.detect.run_cost import RunCostSettings
from stream_jobs.core.detect.tool_loop import ToolLoopSettings
from stream_jobs.core.stitch import read_rules

FILE = """
[run_cost]
limit_usd = "4"
hold_s = 60

[[override]]
tenant_id = "acme01"
run_cost.limit_usd = "3"
run_cost.severity = "info"
"""


def limit(book: RuleBook, tenant_id: str, agent_id: str = "laptop") -> Decimal:
    settings = book.of_agent(tenant_id, agent_id)["run_cost"]
    assert isinstance(settings, RunCostSettings)
    return settings.limit_usd


def test_rows_lie_over_the_files_tables_of_the_same_scope() -> None:
    book, refused = read_rules(FILE).with_rows(
        [
            RuleRow("acme01", None, "run_cost", {"limit_usd": "2"}),
            RuleRow("acme01", "phone", "run_cost", {"limit_usd": "1"}),
        ]
    )
    assert refused == []
    assert (limit(book, "other1"), limit(book, "acme01"), limit(book, "acme01", "phone")) == (4, 2, 1)
    settings = book.of_agent("acme01", "phone")["run_cost"]
    assert isinstance(settings, RunCostSettings)
    assert (settings.severity, settings.hold_s) == ("info", 60)


def test_the_first_book_stays_as_it_was() -> None:
    book = read_rules(FILE)
    book.with_rows([RuleRow("acme01", None, "run_cost", {"limit_usd": "2"})])
    assert limit(book, "acme01") == 3


def test_a_wrong_row_is_left_out_alone() -> None:
    book, refused = read_rules(FILE).with_rows(
        [
            RuleRow("acme01", None, "run_cost", {"limit_usd": "-2"}),
            RuleRow("acme01", None, "of_the_future", {}),
            RuleRow("acme01", None, "tool_loop", {"max_same_calls": 3}),
        ]
    )
    assert len(refused) == 2
    assert refused[0].startswith("acme01  run_cost:")
    assert limit(book, "acme01") == 3
    for tenant_id, num_calls in (("acme01", 3), ("other1", 10)):
        settings = book.of_agent(tenant_id, "laptop")["tool_loop"]
        assert isinstance(settings, ToolLoopSettings)
        assert settings.max_same_calls == num_calls


def test_the_layers_can_be_asked_for() -> None:
    book = read_rules(FILE)
    assert book.general("run_cost") == {"limit_usd": "4", "hold_s": 60}
    assert book.overrides("run_cost", "acme01") == {None: {"limit_usd": "3", "severity": "info"}}
    assert book.overrides("run_cost", "other1") == {}
