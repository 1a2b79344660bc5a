"""Charts of one run: power, energy, emissions and grid intensity over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from carbon_callbacks.cli.html.chart import (
    BAND,
    GREY,
    PALETTE,
    Chart,
    TimeAxis,
    figure_of,
    label,
    time_axis,
)
from carbon_callbacks.cli.html.run_view import RunView
from carbon_core.formatting import formatted
from carbon_core.outputs.timeline import Span
from carbon_core.records import Estimate
from carbon_core.units import GRAMS_PER_KG

# More rectangles would be too narrow to see, and slow to render.
_MOST_SPANS = 600
_MOST_NUMBERS = 25
_SHADES = tuple(reversed(PALETTE))
_MISSING_NOTE = " Red: missing data, extrapolated."


def charts(view: RunView) -> list[Chart]:
    """Return the charts of a run; empty if it has no timeline."""
    if not view.timeline.curves or not view.receipt.is_known:
        return []
    axis = time_axis(view.times_s[-1])
    energy_kwh = view.receipt.energy_kwh.estimate
    emissions_g = view.receipt.emissions_kg.estimate.scaled(GRAMS_PER_KG)
    return [
        _power(view, axis),
        _cumulative(view, axis, "Energy", "kWh", view.energy_kwh, energy_kwh),
        _cumulative(view, axis, "Emissions", "gCO2e", view.emissions_g, emissions_g),
        _intensity(view, axis),
    ]


def coarse(spans: Sequence[Span], shortest_s: float) -> list[Span]:
    """Merge phases that are too short to see into the previous ones."""
    kept: list[Span] = []
    for span in spans:
        joins = kept and (span.name == kept[-1].name or span.end_s - span.begin_s < shortest_s)
        if joins:
            kept[-1] = kept[-1]._replace(end_s=span.end_s)
        else:
            kept.append(span)
    return kept


def _power(view: RunView, axis: TimeAxis) -> Chart:
    devices = view.receipt.devices
    powers_w = view.powers_w
    x = axis.of(view.times_s)
    traces = [
        go.Scatter(
            x=x,
            # A step begins at its point; the last value is repeated at the end of the axis.
            y=[round(watts, 3) for watts in (*power_w, power_w[-1])],
            name=label(device.name),
            stackgroup="power",
            line={"shape": "hv", "width": 1, "color": PALETTE[i % len(PALETTE)]},
            hovertemplate="%{y:.1f} W",
        )
        for i, (device, power_w) in enumerate(zip(devices, powers_w))
    ]
    phases = coarse(view.timeline.phases, view.times_s[-1] / _MOST_SPANS)
    colours = _colours(phases)
    missing = [span for span in view.timeline.missing if span.end_s - span.begin_s > view.step_s]
    shapes = [*_shaded(phases, colours, axis), *_missing(missing, axis), *_edges(view, axis)]
    layout = {"shapes": shapes, "annotations": list(_numbers(view, axis))}
    names = ", ".join(dict.fromkeys(span.name for span in phases))
    return Chart(
        "Power by device",
        f"Stacked power in watts of {len(devices)} devices over {view.times_s[-1]:.0f} seconds, with "
        f"shaded phases: {names}.",
        f"Average power in steps of {formatted(view.step_s)} s, stacked. Shaded: phases. Dotted: ends "
        f"of epochs and other windows.{_MISSING_NOTE if missing else ''}",
        figure_of(
            [*traces, *_legend(colours)],
            x=axis.title,
            y="W",
            height=380,
            xaxis=axis.layout,
            **layout,
        ),
    )


def _colours(phases: Sequence[Span]) -> Mapping[str, str]:
    names = dict.fromkeys(span.name for span in phases)
    return {name: _SHADES[i % len(_SHADES)] for i, name in enumerate(names)}


def _legend(colours: Mapping[str, str]) -> Iterator[Any]:
    for name, colour in colours.items():
        marker = {"symbol": "square", "size": 11, "color": colour, "opacity": 0.45}
        yield go.Scatter(x=[None], y=[None], mode="markers", name=label(name), marker=marker)


def _shaded(
    phases: Sequence[Span], colours: Mapping[str, str], axis: TimeAxis
) -> Iterator[dict[str, Any]]:
    for span in phases:
        yield _rectangle(span, axis, colours[span.name], 0.16)


def _missing(spans: Sequence[Span], axis: TimeAxis) -> Iterator[dict[str, Any]]:
    for span in spans[:_MOST_SPANS]:
        yield {**_rectangle(span, axis, "#d55e00", 0.3), "y0": 0, "y1": 0.03}


def _rectangle(span: Span, axis: TimeAxis, colour: str, opacity: float) -> dict[str, Any]:
    x0, x1 = axis.of((span.begin_s, span.end_s))
    place = {"type": "rect", "xref": "x", "yref": "paper", "x0": x0, "x1": x1, "y0": 0, "y1": 1}
    style = {"fillcolor": colour, "opacity": opacity, "line": {"width": 0}, "layer": "below"}
    return {**place, **style}


def _shown_windows(view: RunView) -> list[tuple[int, Span]]:
    """Return every n-th numbered window, so that the labels do not overlap."""
    windows = list(enumerate(view.timeline.windows, start=1))
    every = -(-len(windows) // _MOST_NUMBERS) or 1
    return windows[every - 1 :: every]


def _edges(view: RunView, axis: TimeAxis) -> Iterator[dict[str, Any]]:
    for _, window in _shown_windows(view):
        (x,) = axis.of((window.end_s,))
        place = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
        yield {**place, "line": {"width": 1, "dash": "dot", "color": GREY}}


def _numbers(view: RunView, axis: TimeAxis) -> Iterator[dict[str, Any]]:
    names = {window.name for window in view.timeline.windows}
    for number, window in _shown_windows(view):
        (x,) = axis.of((window.end_s,))
        text = label(window.name) if len(names) > 1 else str(number)
        place = {"x": x, "y": 1, "xref": "x", "yref": "paper", "xanchor": "right", "yanchor": "top"}
        yield {**place, "text": text, "showarrow": False, "font": {"size": 11}}


def _cumulative(
    view: RunView,
    axis: TimeAxis,
    title: str,
    unit: str,
    values: Sequence[float],
    total: Estimate,
) -> Chart:
    """Return a chart of a cumulative figure; its band scales the interval of the final value."""
    x = axis.of(view.times_s)
    shares = [end / total.value if total.value else 1.0 for end in total[1:]]
    no_line = {"width": 0}
    band = {"fill": "tonexty", "fillcolor": BAND, "line": no_line, "name": "95 % interval"}
    low, high = ([value * share for value in values] for share in shares)
    total_text, low_text, high_text = map(formatted, total)
    total_with_interval = f"{total_text} {unit} ({low_text} to {high_text})"
    traces = [
        go.Scatter(x=x, y=low, line=no_line, showlegend=False, hovertemplate="%{y:.4g} low"),
        go.Scatter(x=x, y=high, hovertemplate="%{y:.4g} high", **band),
        go.Scatter(
            x=x, y=list(values), name=title.lower(), line={"color": PALETTE[0], "width": 2},
            hovertemplate=f"%{{y:.4g}} {unit}",
        ),
    ]  # fmt: skip
    return Chart(
        title,
        f"Cumulative {title.lower()}, in total {total_with_interval}.",
        f"Cumulative; total: {total_with_interval}. The band scales the interval of the total.",
        figure_of(traces, x=axis.title, y=unit, xaxis=axis.layout),
    )


def _intensity(view: RunView, axis: TimeAxis) -> Chart:
    hours = view.intensities
    times_s = [*(t_s for t_s, _ in hours), view.times_s[-1]]
    values = [*(value for _, value in hours), hours[-1][1]]
    trace = go.Scatter(
        x=axis.of(times_s),
        y=values,
        mode="lines",
        line={"shape": "hv", "color": PALETTE[2], "width": 2},
        hovertemplate="%{y:.4g} gCO2e/kWh",
    )
    sources = "; ".join(
        dict.fromkeys(f"{one.place}, {one.source} ({one.kind})" for one in view.receipt.intensities)
    )
    low, high = formatted(min(values)), formatted(max(values))
    reach = f"{low} gCO2e/kWh (constant)" if low == high else f"{low} to {high} gCO2e/kWh (hourly)"
    return Chart(
        "Grid carbon intensity over time",
        f"Grid carbon intensity over time: {reach}.",
        f"{reach}: {sources}.",
        figure_of([trace], x=axis.title, y="gCO2e/kWh", xaxis=axis.layout),
    )
