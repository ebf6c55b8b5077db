"""Settings, metrics, commands, endpoints and alert rules stand in their documents, and nothing else does."""

import re
from itertools import pairwise
from typing import get_args

from infra.runtime.metrics import LABELS
from stream_jobs.contracts.alert import AlertRule
from stream_jobs.core.detect.guide import GUIDES
from stream_jobs.core.detect.rules import RULES
from stream_jobs.core.detect.settings import RuleSettings
from stream_jobs.core.learn.guide import LEARN_GUIDES
from tests.contract.reference import METRIC_MODULES, METRIC_PROCESSES, ROOT, expected_pages, metrics

METRIC_CALL = re.compile(r"\b(Counter|Gauge|Histogram|Summary|Enum|Info)\(\s*\"clawtrace_")


def test_reference_pages_are_what_the_code_says() -> None:
    wanted = expected_pages()
    found = {path: path.read_text() for path in wanted if path.exists()}
    assert found == wanted, "run 'make schemas' and read the diff"


def test_every_alert_rule_has_a_section_in_the_runbook() -> None:
    runbook = (ROOT / "infra/runbook.md").read_text()
    for rule in get_args(AlertRule):
        assert f"\n## {rule}\n" in runbook


def test_every_alert_rule_and_its_settings_stand_in_the_reference() -> None:
    page = (ROOT / "infra/reference/alert-rules.md").read_text()
    sections = {text.partition("\n")[0]: text for text in page.split("\n## ")[1:]}
    assert set(sections) == {"Settings of every rule", *(rule.name for rule in RULES), "closing", *LEARN_GUIDES}
    assert set(GUIDES) == {rule.name for rule in RULES}
    assert all(found.meaning in sections[name] for name, found in LEARN_GUIDES.items())
    for rule in RULES:
        section = sections[rule.name]
        for name, field in rule.settings_type.model_fields.items():
            assert f"`{name}`" in section + sections["Settings of every rule"]
            if name not in RuleSettings.model_fields:
                assert field.description, f"{rule.name}.{name} says nothing of itself"
                assert field.description in section


def test_every_metric_says_its_process_and_its_unit() -> None:
    names = [metric.describe()[0].name for _, metric in metrics()]
    assert len(set(names)) == len(names)
    assert all(name.startswith("clawtrace_") for name in names)
    assert {process for process, _ in metrics()} == set(METRIC_PROCESSES)


def test_metrics_are_declared_in_the_modules_of_the_page_and_nowhere_else() -> None:
    declared = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for stage in ("infra", "producers", "stream_jobs", "lakehouse", "api")
        for path in (ROOT / stage).rglob("*.py")
        if "node_modules" not in path.parts and METRIC_CALL.search(path.read_text())
    }
    assert declared == set(METRIC_MODULES)


def test_the_values_of_every_label_are_bounded() -> None:
    assert {name for _, metric in metrics() for name in metric._labelnames} == set(LABELS)
    assert not set(LABELS) & {"tenant", "tenant_id", "agent", "agent_id", "session", "trace", "trace_id", "key"}


def test_every_make_target_of_the_readme_exists() -> None:
    targets = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ": " in line}
    words = (ROOT / "README.md").read_text().replace("`", " ").split()
    used = {target for make, target in pairwise(words) if make == "make" and target.isalpha()}
    assert used
    assert used <= targets
