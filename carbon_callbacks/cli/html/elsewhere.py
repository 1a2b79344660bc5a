"""Emissions of a run's energy in other countries and at other hours."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

import plotly.graph_objects as go

from carbon_callbacks.cli.html.chart import GREY, PALETTE, Chart, figure_of, label
from carbon_callbacks.cli.html.run_view import RunView
from carbon_core import repricing
from carbon_core.formatting import formatted
from carbon_core.intensity import tables
from carbon_core.records import Estimate, HourEnergy, Intensity
from carbon_core.repricing import Finished
from carbon_core.units import GRAMS_PER_KG


class CountryEmissions(NamedTuple):
    """Emissions of a run in another country.

    Attributes:
        code: Three-letter code of the country.
        intensity: Annual average of its grid intensity.
        emissions_g: Emissions of the run's energy there, with a 95 % interval.
        is_here: Whether the run's own emissions were computed for this country.
    """

    code: str
    intensity: Intensity
    emissions_g: Estimate
    is_here: bool


def countries(view: RunView) -> list[CountryEmissions]:
    """Return the emissions in each country of the shipped tables, lowest intensity first."""
    run = _without_hours(view.finished)
    found = [
        CountryEmissions(code, one, _emissions_g(run, one), one.place == view.finished.place)
        for code, name in tables.known_countries().items()
        # A country without a figure has that of a neighbour; skip it.
        if (one := tables.country(code)) is not None and one.place == name
    ]
    return sorted(found, key=lambda place: place.intensity.g_per_kwh)


def by_country(view: RunView, places: Sequence[CountryEmissions]) -> Chart:
    """Return a bar chart of the emissions in each country."""
    here = [i for i, place in enumerate(places) if place.is_here]
    colours = [PALETTE[5] if place.is_here else PALETTE[4] for place in places]
    trace = go.Bar(
        x=list(range(1, len(places) + 1)),
        y=[place.emissions_g.value for place in places],
        text=[label(place.intensity.place) for place in places],
        textposition="none",
        marker={"color": colours, "line": {"width": 0}},
        hovertemplate="%{text}: %{y:.4g} gCO2e<extra></extra>",
    )
    shown = sorted({0, len(places) // 2, len(places) - 1, *here})
    notes = [
        {
            "x": i + 1,
            "y": places[i].emissions_g.value,
            "text": label(places[i].intensity.place),
            "showarrow": True,
            "arrowhead": 0,
            "arrowcolor": GREY,
            "ax": 0,
            "ay": -28,
            "xanchor": "left" if i < len(places) / 3 else "right",
        }
        for i in shown
    ]
    emitted = view.finished.emissions_kg.value * GRAMS_PER_KG
    cleanest, dirtiest = places[0], places[-1]
    return Chart(
        "Emissions in other countries",
        f"Emissions of the same energy in {len(places)} countries, from "
        f"{formatted(cleanest.emissions_g.value)} gCO2e in {cleanest.intensity.place} to "
        f"{formatted(dirtiest.emissions_g.value)} gCO2e in {dirtiest.intensity.place}.",
        f"This run: {formatted(emitted)} gCO2e ({view.finished.place}). Annual average intensities, not "
        "marginal ones.",
        figure_of(
            [trace],
            x="countries, by intensity",
            y="gCO2e",
            xaxis={"showticklabels": False},
            hovermode="closest",
            showlegend=False,
            bargap=0.1,
            annotations=notes,
        ),
    )


def by_hour(view: RunView) -> Chart | None:
    """Return a bar chart of the emissions by hour of the day; None if all hours are equal.

    Intensities are available only for the hours of the run; they are averaged over its days.
    """
    seen: dict[int, list[float]] = defaultdict(list)
    for t_s, value in view.intensities:
        seen[view.clock_at(t_s).hour].append(value)
    means = {hour: fmean(values) for hour, values in sorted(seen.items())}
    if len({formatted(value) for value in means.values()}) < 2:
        return None
    energy_kwh = view.finished.energy_kwh.value
    emissions_g = [energy_kwh * value for value in means.values()]
    best, worst = min(means, key=lambda hour: means[hour]), max(means, key=lambda hour: means[hour])
    trace = go.Bar(
        x=[f"{hour:02d}:00" for hour in means],
        y=emissions_g,
        marker={"color": PALETTE[2], "line": {"width": 0}},
        hovertemplate="%{y:.4g} gCO2e<extra></extra>",
    )
    return Chart(
        "Emissions at other hours",
        f"Emissions of the same energy at each hour of the day: lowest at {best:02d}:00 UTC, highest "
        f"at {worst:02d}:00 UTC.",
        f"All energy used at {best:02d}:00 UTC: {formatted(min(emissions_g))} gCO2e; at {worst:02d}:00 "
        f"UTC: {formatted(max(emissions_g))} gCO2e. Mean intensities of the hours of this run.",
        figure_of(
            [trace], x="hour of the day (UTC)", y="gCO2e", hovermode="closest", showlegend=False
        ),
    )


def _without_hours(run: Finished) -> Finished:
    """Return a run with the energy of all hours in one, for an intensity that is constant."""
    first = run.hours[0]
    joules, grams = (sum(values) for values in zip(*(hour[1:] for hour in run.hours)))
    return replace(run, hours=(HourEnergy(first.start, joules, grams),))


def _emissions_g(run: Finished, intensity: Intensity) -> Estimate:
    repriced = repricing.reprice(run, lambda hour: intensity)
    return repriced.emissions_kg.scaled(GRAMS_PER_KG)
