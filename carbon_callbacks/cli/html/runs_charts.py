"""Charts of many runs: recent runs side by side, and energy by day or month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import plotly.graph_objects as go

from carbon_callbacks.cli.html.chart import GREY, PALETTE, Chart, figure_of, label
from carbon_callbacks.cli.totals import History, group_of
from carbon_core.formatting import formatted
from carbon_core.outputs.history import PastRun
from carbon_core.units import GRAMS_PER_KG

_MOST_DAYS = 92
_MOST_PROJECTS = 7
_OTHERS = "other projects"


def charts(history: History) -> list[Chart]:
    """Return the charts of several runs; empty for one run."""
    if history.total.runs < 2:
        return []
    by_energy = sorted(history.projects, key=lambda name: -history.projects[name].energy_kwh.value)
    colours = {name: PALETTE[min(i, _MOST_PROJECTS)] for i, name in enumerate(by_energy)}
    known = [run for run in history.runs[::-1] if run.is_known]
    latest = [_side_by_side(known, history.recent_of_total, colours)] if known else []
    if not history.total.is_known:
        return []
    return [*latest, _over_time(history, by_energy[:_MOST_PROJECTS], colours)]


def _side_by_side(
    runs: Sequence[PastRun], recent_of_total: str, colours: Mapping[str, str]
) -> Chart:
    """Return a bar chart of recent runs with their intervals."""
    by_project: dict[str, list[tuple[int, PastRun]]] = {}
    for i, run in enumerate(runs, start=1):
        by_project.setdefault(group_of(run), []).append((i, run))
    traces = [_bars(name, own, colours[name]) for name, own in by_project.items()]
    most_g = max(run.emissions_kg.value for run in runs) * GRAMS_PER_KG
    return Chart(
        f"Recent runs ({recent_of_total})",
        f"Emissions of {len(runs)} runs with 95 % intervals; the highest is {formatted(most_g)} gCO2e.",
        "Oldest first. Error bars: 95 % interval. To compare runs, use the command compare.",
        figure_of(
            traces,
            x="runs",
            y="gCO2e",
            hovermode="closest",
            barmode="overlay",
            showlegend=True,
            xaxis={"showticklabels": False},
        ),
    )


def _bars(name: str, runs: Sequence[tuple[int, PastRun]], colour: str) -> Any:
    """Return the bars of one project's runs at their positions."""
    grams = [run.emissions_kg.scaled(GRAMS_PER_KG) for _, run in runs]
    whiskers = {
        "type": "data",
        "symmetric": False,
        "thickness": 1.2,
        "color": GREY,
        "array": [one.high - one.value for one in grams],
        "arrayminus": [one.value - one.low for one in grams],
    }
    return go.Bar(
        x=[i for i, _ in runs],
        y=[one.value for one in grams],
        error_y=whiskers,
        text=[label(run.time[:19]) for _, run in runs],
        textposition="none",
        name=label(name),
        marker={"color": colour, "line": {"width": 0}},
        hovertemplate="%{text}: %{y:.4g} gCO2e<extra></extra>",
    )


def _over_time(history: History, names: Sequence[str], colours: Mapping[str, str]) -> Chart:
    """Return a stacked bar chart of energy by day, or by month for a long period, and project.

    Args:
        history: The runs.
        names: The projects that are shown separately, largest first; the others are summed.
        colours: Colour of each project.
    """
    days = sorted({day for day, _ in history.days})
    by_month = _days_between(days[0], days[-1]) > _MOST_DAYS
    length = len("2026-01") if by_month else len("2026-01-01")
    totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (day, project), total in sorted(history.days.items()):
        name = project if project in names else _OTHERS
        totals[name][day[:length]] += total.energy_kwh.value
    traces = [
        go.Bar(
            x=list(totals[name]),
            y=list(totals[name].values()),
            name=label(name),
            marker={"color": colours.get(name, PALETTE[_MOST_PROJECTS]), "line": {"width": 0}},
            hovertemplate="%{y:.4g} kWh",
        )
        for name in (*names, _OTHERS)
        if name in totals
    ]
    what = "month" if by_month else "day"
    return Chart(
        f"Energy by {what}",
        f"Energy by {what} and project, from {days[0]} to {days[-1]}.",
        f"All {history.total.runs:,} runs.",
        figure_of(traces, x="", y="kWh", barmode="stack", xaxis={"type": "category"}),
    )


def _days_between(first: str, last: str) -> int:
    try:
        return (date.fromisoformat(last) - date.fromisoformat(first)).days
    except ValueError:  # CSV files may contain invalid dates
        return 0
