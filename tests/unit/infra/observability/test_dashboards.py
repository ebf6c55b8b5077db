"""Dashboards are what Grafana understands, and ask only for what there is."""

import json
import re
from itertools import combinations
from typing import Any, Literal

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from infra.grafana.panels import DATASOURCE, FOLDER, Dashboard, Panel, document, files, read_dashboards
from tests.contract.reference import ROOT
from tests.unit.infra.observability.promql import ask, known_series, metric_of

PAGES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [(name, panel) for name, page in PAGES.items() for panel in page["panels"]]
PROVISIONING = ROOT / "infra/grafana/provisioning"


def test_the_files_are_made_from_the_sources() -> None:
    assert {path: path.read_text() for path in FOLDER.iterdir()} == files(), "run 'make dashboards'"
    assert set(PAGES) == {"pipeline", "freshness", "cost", "serving", "storage"}


def missing(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """What Grafana's own types do not keep of a document."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            return [path]
        return [
            fault
            for key, value in ours.items()
            for fault in (missing(value, theirs[key], f"{path}.{key}") if key in theirs else [f"{path}.{key}"])
        ]
    if isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            return [path]
        return [
            fault for at, pair in enumerate(zip(ours, theirs, strict=True)) for fault in missing(*pair, f"{path}[{at}]")
        ]
    return [] if ours == theirs else [path]


@pytest.mark.parametrize("name", PAGES)
def test_grafana_keeps_every_field(name: str) -> None:
    page = PAGES[name]
    kept = json.loads(JSONEncoder().encode(models.Dashboard.from_json(json.loads(json.dumps(page)))))
    assert missing(page, kept) == []


def test_a_field_that_grafana_does_not_know_would_be_found() -> None:
    page = json.loads(json.dumps(PAGES["storage"]))
    page["panels"][0]["gridPosition"] = {}
    kept = json.loads(JSONEncoder().encode(models.Dashboard.from_json(json.loads(json.dumps(page)))))
    assert missing(page, kept) == [".panels[0].gridPosition"]


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}: {panel['title']}" for name, panel in PANELS])
def test_every_panel_asks_for_what_there_is_and_says_what_it_shows(name: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in {value for key, value in vars(units).items() if key[0].isupper()}
    assert panel["datasource"] == DATASOURCE
    assert panel["targets"]
    for target in panel["targets"]:
        asked = ask(target["expr"])
        assert not asked.faults
        assert set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) <= asked.labels
        assert len(panel["targets"]) == 1 or target["legendFormat"]


@pytest.mark.parametrize("name", PAGES)
def test_titles_and_ids_are_one_each_and_nothing_overlaps(name: str) -> None:
    panels = PAGES[name]["panels"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_every_metric_is_looked_at_somewhere() -> None:
    shown = {metric_of(name) for _, panel in PANELS for it in panel["targets"] for name in ask(it["expr"]).metrics}
    assert {metric_of(name) for name in known_series()} <= shown


def test_links_lead_to_dashboards_that_exist() -> None:
    for page in PAGES.values():
        targets = {link["url"].removeprefix("/d/") for link in page["links"]}
        assert targets == {other["uid"] for other in PAGES.values()} - {page["uid"]}


def test_grafana_is_given_the_datasource_and_the_folder_of_the_dashboards() -> None:
    (datasource,) = yaml.safe_load((PROVISIONING / "datasources/clawtrace.yaml").read_text())["datasources"]
    assert {"type": datasource["type"], "uid": datasource["uid"]} == DATASOURCE
    prometheus = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yaml").read_text())
    assert datasource["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/clawtrace.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == "${CLAWTRACE_DASHBOARDS}"


def test_a_row_of_panels_is_full_before_the_next_begins() -> None:
    kinds: list[Literal["stat", "timeseries"]] = [*["stat"] * 7, *["timeseries"] * 2]
    panels = tuple(
        Panel(title=str(at), description=".", unit="s", queries=({"expr": "up"},), kind=kind)
        for at, kind in enumerate(kinds)
    )
    page = document(Dashboard(name="x", title="x", description="x", place=1, panel=panels), read_dashboards())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in page["panels"]]
    assert places == [(0, 0), (4, 0), (8, 0), (12, 0), (16, 0), (20, 0), (0, 4), (0, 8), (8, 8)]
