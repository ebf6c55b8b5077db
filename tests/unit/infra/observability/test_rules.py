"""Alert rules, the runbook and the metrics agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.layout import Layout
from infra.local.scrape_targets import JOB_PREFIX, write_scrape_targets
from infra.local.topology import PROCESSES
from infra.runtime.settings import StackSettings
from tests.contract.reference import ROOT
from tests.unit.infra.observability.promql import ask, known_series, metric_of

FOLDER = ROOT / "infra/prometheus"
CHAPTER = "# Alerts about ClawTrace itself\n"
GROUPS = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def runbook_sections() -> dict[str, str]:
    """Sections of the chapter about ourselves, by name."""
    chapter = (ROOT / "infra/runbook.md").read_text().partition(CHAPTER)[2]
    chapter = re.split(r"^# ", chapter, maxsplit=1, flags=re.MULTILINE)[0]
    return {text.partition("\n")[0]: text for text in chapter.split("\n## ")[1:]}


def test_every_rule_has_a_section_and_every_section_a_rule() -> None:
    assert len(RULES) == sum(len(group["rules"]) for group in GROUPS)
    assert set(runbook_sections()) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_asks_for_what_there_is_and_its_section_names_it(name: str) -> None:
    rule, section = RULES[name], runbook_sections()[name]
    asked = ask(rule["expr"])
    assert not asked.faults
    used = {metric_of(metric) for metric in asked.metrics}
    assert all(f"`{metric}`" in section for metric in used)
    # A section may name what else to look at; that has to be there too.
    named = set(re.findall(r"`((?:clawtrace|process)_\w+)`", section))
    assert named <= {metric_of(metric) for metric in known_series()}
    assert "\n1. " in section


@pytest.mark.parametrize("name", RULES)
def test_a_rule_says_how_bad_it_is_and_where_help_stands(name: str) -> None:
    rule = RULES[name]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["runbook"] == f"infra/runbook.md#{name.lower()}"
    assert rule["annotations"]["summary"].endswith(".")
    labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert labels <= ask(rule["expr"]).labels


def test_the_tests_of_rules_name_rules_that_exist() -> None:
    tests = yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]
    tried = {case["alertname"] for test in tests for case in test["alert_rule_test"]}
    assert tried <= set(RULES)
    for test in tests:
        for series in test["input_series"]:
            name = re.match(r"\w+", series["series"])
            assert name is not None
            span = "[5m]" if re.search(r"_(total|bucket)$", name[0]) else ""
            assert not ask(f"rate({name[0]}{span})" if span else name[0]).faults


def targets(folder: Path, port_base: int) -> list[dict[str, Any]]:
    layout = Layout.of(StackSettings(home=folder, port_base=port_base))
    layout.run.mkdir(parents=True, exist_ok=True)
    write_scrape_targets(layout)
    found: list[dict[str, Any]] = json.loads((folder / "run/prometheus-targets.json").read_text())
    return found


def test_prometheus_is_told_every_process_of_the_stack(tmp_path: Path) -> None:
    found = targets(tmp_path, 5000)
    assert [target["labels"]["job"] for target in found] == [f"{JOB_PREFIX}{name}" for name, _, _ in PROCESSES]
    assert found[0]["targets"] == ["127.0.0.1:5000"]
    assert len({target["targets"][0] for target in found}) == len(PROCESSES)
    assert targets(tmp_path, 6000)[0]["targets"] == ["127.0.0.1:6000"]


def test_prometheus_reads_the_rules_and_the_file_of_targets() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert [(FOLDER / name).is_file() for name in config["rule_files"]] == [True]
    (job,) = config["scrape_configs"]
    (discovery,) = job["file_sd_configs"]
    layout = Layout.of(StackSettings(home=ROOT / ".clawtrace"))
    assert [(FOLDER / name).resolve() for name in discovery["files"]] == [layout.scrape_targets_file]
