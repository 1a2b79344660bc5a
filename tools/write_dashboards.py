"""Writes the Grafana dashboard, and the table of Prometheus metrics in docs/dashboards.md.

With ``--check``, changes nothing; exit status 1 means that a file would change.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from generated import between, write_or_check

from carbon_core.outputs.metric_families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dashboards.md"
MARKS = ("<!-- metrics: begin -->\n", "<!-- metrics: end -->")
DASHBOARD = ROOT / "core" / "carbon_core" / "data" / "dashboards" / "grafana-dashboard.json"
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
# Every query is of the chosen runs; a sum leaves out runs whose energy another run includes.
CHOSEN = 'project=~"$project",instance=~"$instance"'
OUTER = f'{CHOSEN},nested="false"'


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: Its title.
        kind: Its type in Grafana.
        unit: Unit of its values in Grafana; an empty string for none.
        queries: Queries, each with the name of its series.
        width: Columns of 24.
        height: Rows.
        note: Its description.
    """

    title: str
    kind: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    width: int
    height: int = 8
    note: str = ""


def _rate(name: str, chosen: str = OUTER) -> str:
    return f"rate({name}{{{chosen}}}[$__rate_interval])"


_BY_RUN = "sum by (project, experiment, nested)"
PANELS = (
    Panel(
        "Power", "stat", "watt", ((f"sum(carbon_power_watts{{{OUTER}}})", ""),), 6, 4,
        "Sum of the devices that are measured, with the facility's overhead.",
    ),
    Panel(
        "Energy", "stat", "joule",
        ((f"sum(increase(carbon_energy_joules_total{{{OUTER}}}[$__range]))", ""),), 6, 4,
        "In the time range that is shown.",
    ),
    Panel(
        "Emissions", "stat", "massg",
        ((f"sum(increase(carbon_emissions_grams_total{{{OUTER}}}[$__range]))", ""),), 6, 4,
        "In grams of CO2e, in the time range that is shown.",
    ),
    Panel(
        "Grid intensity", "stat", "suffix: g/kWh",
        (
            (
                f"3600000 * sum({_rate('carbon_emissions_grams_total')}) "
                f"/ (sum({_rate('carbon_energy_joules_total')}) > 0)",
                "",
            ),
        ), 6, 4,
        "Emissions by energy, over all chosen runs.",
    ),
    Panel(
        "Power by project", "timeseries", "watt",
        ((f"sum by (project) (carbon_power_watts{{{OUTER}}})", "{{project}}"),), 12,
    ),
    Panel(
        "Power by device", "timeseries", "watt",
        (
            (
                f"sum by (instance, component, device) (carbon_power_watts{{{OUTER}}})",
                "{{instance}} {{device}}",
            ),
        ), 12,
    ),
    Panel(
        "Energy per sample", "timeseries", "joule",
        (
            (
                f"{_BY_RUN} ({_rate('carbon_energy_joules_total', CHOSEN)}) "
                f"/ ({_BY_RUN} ({_rate('carbon_samples_total', CHOSEN)}) > 0)",
                "{{project}} {{experiment}}",
            ),
        ), 12, 8,
        "Needs a callback that counts samples. They are counted when the framework logs: choose a time "
        "range with many logs.",
    ),
    Panel(
        "GPU utilisation", "timeseries", "percentunit",
        (
            (
                f"{_rate('carbon_gpu_busy_seconds_total')} "
                f"/ ({_rate('carbon_duration_seconds_total')} > 0)",
                "{{project}} {{instance}} {{rank}}",
            ),
        ), 12, 8,
        "Mean of the GPUs of a process.",
    ),
    Panel(
        "Budgets used", "bargauge", "percentunit",
        (
            (
                f"max by (project, experiment, budget) (carbon_budget_used_ratio{{{CHOSEN}}})",
                "{{project}} {{budget}}",
            ),
        ), 8,
    ),
    Panel(
        "Energy of running runs, 95 % interval", "timeseries", "joule",
        ((f"carbon_run_energy_bound_joules{{{OUTER}}}", "{{project}} {{rank}} {{bound}}"),), 8,
    ),
    Panel(
        "Time without readings", "timeseries", "percentunit",
        (
            (
                "max by (instance, component, device) "
                f"({_rate('carbon_missing_seconds_total', CHOSEN)})",
                "{{instance}} {{device}}",
            ),
        ), 8, 8,
        "Part of the time for which a device could not be read; its energy is extrapolated.",
    ),
    Panel("Runs", "table", "", ((f"carbon_run_info{{{CHOSEN}}}", ""),), 12),
    Panel(
        "Devices and how they are measured", "table", "",
        ((f"carbon_device_info{{{CHOSEN}}}", ""),), 12,
    ),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    x = y = tallest = 0
    panels = []
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
        panels.append(_panel(panel, number, place))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return {
        "uid": "carbon-callbacks",
        "title": "Energy and emissions of trainings",
        "description": "Metrics of carbon-callbacks, by Prometheus.",
        "tags": ["carbon-callbacks"],
        "timezone": "browser",
        "editable": True,
        "graphTooltip": 1,
        "schemaVersion": 38,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_data_source(), _variable("project"), _variable("instance")]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    is_table = panel.kind == "table"
    targets = [
        {
            "refId": chr(ord("A") + i),
            "datasource": DATA_SOURCE,
            "expr": expression,
            **({"legendFormat": legend} if legend else {}),
            **({"instant": True, "range": False, "format": "table"} if is_table else {}),
        }
        for i, (expression, legend) in enumerate(panel.queries)
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0} if panel.unit else {}
    if panel.title == "Budgets used":
        steps = [("green", None), ("orange", 0.8), ("red", 1)]
        defaults["max"] = 1
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for color, value in steps],
        }
    hidden = {"Time": True, "Value": True, "__name__": True}
    organize = {"id": "organize", "options": {"excludeByName": hidden}}
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        **({"description": panel.note} if panel.note else {}),
        "datasource": DATA_SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        **({"transformations": [organize]} if is_table else {}),
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}


def _variable(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "type": "query",
        "label": label.capitalize(),
        "datasource": DATA_SOURCE,
        "query": f"label_values(carbon_run_info, {label})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }


def table() -> str:
    """Return the table of metrics."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=1) + "\n"
    sys.exit(write_or_check({PAGE: between(MARKS, table(), PAGE), DASHBOARD: text}))
