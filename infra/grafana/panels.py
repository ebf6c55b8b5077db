"""Dashboards of Grafana: from short sources to the long JSON that Grafana loads.

Upstream: infra/grafana/sources/*.toml, written by people: one file a dashboard, its panels in reading order.
Downstream: ``python -m infra.grafana.panels`` (``make dashboards``) writes infra/grafana/dashboards/*.json.
Guarantee: the JSON files are never edited by hand; every panel has a title, a description and a unit, and the grid has
no overlaps.
"""

import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

SOURCES: Final = Path(__file__).resolve().parent / "sources"
FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
# As in infra/grafana/provisioning/datasources.
DATASOURCE: Final = {"type": "prometheus", "uid": "clawtrace-prometheus"}
SCHEMA_VERSION: Final = 38
GRID_COLUMNS: Final = 24

# Grafana's names of units.
Unit = Literal["short", "none", "s", "bytes", "Bps", "reqps", "cps", "percentunit", "currencyUSD"]
Kind = Literal["stat", "timeseries"]


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Query(_Source):
    """One PromQL expression; ``legend`` may name labels as ``{{label}}``."""

    expr: str = Field(min_length=1)
    legend: str = ""


class Panel(_Source):
    """One picture. ``limit``, in the panel's unit, is where it turns red; ``is_floor`` turns that round."""

    title: str = Field(min_length=1)
    description: str = Field(min_length=1)
    unit: Unit
    queries: tuple[Query, ...] = Field(min_length=1)
    kind: Kind = "timeseries"
    limit: float | None = None
    is_floor: bool = False
    stacked: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the grid."""
        return (4, 4) if self.kind == "stat" else (8, 8)


class Dashboard(_Source):
    """One page; ``place`` is where it stands among the links."""

    name: str
    title: str
    description: str
    place: int
    panel: tuple[Panel, ...]


def read_dashboards() -> list[Dashboard]:
    """All dashboards in their order.

    Raises:
        ValidationError: a source says too little or too much.
    """
    found = [Dashboard(name=path.stem, **tomllib.loads(path.read_text())) for path in SOURCES.glob("*.toml")]
    return sorted(found, key=lambda dashboard: dashboard.place)


def document(dashboard: Dashboard, others: Iterable[Dashboard]) -> dict[str, Any]:
    """The JSON document that Grafana loads; it links to the other dashboards."""
    return {
        "uid": f"clawtrace-{dashboard.name}",
        "title": f"ClawTrace: {dashboard.title}",
        "description": dashboard.description,
        "tags": ["clawtrace"],
        "style": "dark",
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "links": [
            {
                "title": other.title,
                "type": "link",
                "icon": "dashboard",
                "tooltip": other.description,
                "url": f"/d/clawtrace-{other.name}",
                "tags": [],
                "asDropdown": False,
                "targetBlank": False,
                "includeVars": False,
                "keepTime": True,
            }
            for other in others
            if other.name != dashboard.name
        ],
        "panels": [
            _panel(panel, number, place)
            for number, (panel, place) in enumerate(zip(dashboard.panel, _places(dashboard.panel), strict=True), 1)
        ],
    }


def _places(panels: Sequence[Panel]) -> list[dict[str, int]]:
    """Fill the grid row by row."""
    places = []
    x = y = row_height = 0
    for panel in panels:
        width, height = panel.size
        if x + width > GRID_COLUMNS or (row_height and height != row_height):
            x, y, row_height = 0, y + row_height, 0
        places.append({"x": x, "y": y, "w": width, "h": height})
        x, row_height = x + width, height
    return places


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    good, bad = ("red", "green") if panel.is_floor else ("green", "red")
    steps: list[dict[str, Any]] = [{"color": good, "value": None}]
    if panel.limit is not None:
        steps.append({"color": bad, "value": panel.limit})
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "transparent": False,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": DATASOURCE,
                "expr": query.expr,
                **({"legendFormat": query.legend} if query.legend else {}),
            }
            for at, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                # A rate of something that has not happened yet has no series: that is 0 and no fault.
                "noValue": "0",
                "thresholds": {"mode": "absolute", "steps": steps},
                "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
                **({"custom": _custom(panel)} if panel.kind == "timeseries" else {}),
            },
            "overrides": [],
        },
        "options": _OPTIONS[panel.kind],
    }


def _custom(panel: Panel) -> dict[str, Any]:
    return {
        "lineWidth": 1,
        "fillOpacity": 20 if panel.stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
    }


_OPTIONS: Final[dict[Kind, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "graphMode": "area",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
}


def files() -> dict[Path, str]:
    """Every JSON file with its text."""
    dashboards = read_dashboards()
    return {
        FOLDER / f"{dashboard.name}.json": json.dumps(document(dashboard, dashboards), indent=2) + "\n"
        for dashboard in dashboards
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
