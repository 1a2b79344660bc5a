"""Shared parts of the charts: colours, axes and time units."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from carbon_core.escaping import one_line

# Distinguishable without colour vision, on light and dark backgrounds: after Okabe and Ito (2008), with
# two more, because servers often have two processors and eight GPUs.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a125", "#888888",
    "#7a5fc7", "#8c6239",
)  # fmt: skip
GREY = "#888888"
BAND = "rgba(0, 114, 178, 0.22)"
_S_PER_MIN, _S_PER_H = 60.0, 3600.0
_LONGEST_IN_S, _LONGEST_IN_MIN = 180.0, 180 * 60.0


class Chart(NamedTuple):
    """A chart of the report.

    Attributes:
        title: Its heading.
        description: Text alternative, for screen readers.
        caption: Explanation shown below it, or an empty string.
        figure: Plotly figure as JSON-ready data.
    """

    title: str
    description: str
    caption: str
    figure: dict[str, Any]


class TimeAxis(NamedTuple):
    """Time axis in a unit that fits the duration of a run.

    Attributes:
        unit: Name of the unit.
        unit_s: Its length in seconds.
        end_s: End of the axis in seconds.
    """

    unit: str
    unit_s: float
    end_s: float

    @property
    def title(self) -> str:
        """Title of the axis."""
        return f"time since start ({self.unit})"

    @property
    def layout(self) -> dict[str, Any]:
        """Plotly layout of the axis."""
        return {"range": [0, self.end_s / self.unit_s]}

    def of(self, times_s: Sequence[float]) -> list[float]:
        """Convert seconds to this unit."""
        return [round(t_s / self.unit_s, 4) for t_s in times_s]


def time_axis(duration_s: float) -> TimeAxis:
    """Return the time axis for a run of this duration."""
    if duration_s <= _LONGEST_IN_S:
        return TimeAxis("s", 1.0, duration_s)
    if duration_s <= _LONGEST_IN_MIN:
        return TimeAxis("min", _S_PER_MIN, duration_s)
    return TimeAxis("h", _S_PER_H, duration_s)


def figure_of(
    traces: Sequence[Any], *, x: str, y: str, height: int = 300, **layout: Any
) -> dict[str, Any]:
    """Return a Plotly figure as JSON-ready data; the page applies the colours of its theme.

    Args:
        traces: Plotly's traces.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        height: Height in pixels.
        **layout: Further Plotly layout options.
    """
    figure = go.Figure(list(traces))
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": 16, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hovermode="x unified",
        xaxis={"title": {"text": x}, "zeroline": False, "automargin": True},
        yaxis={
            "title": {"text": y},
            "rangemode": "tozero",
            "zeroline": False,
            "automargin": True,
            "exponentformat": "power",
            "minexponent": 5,
            "separatethousands": True,
        },
    )
    figure.update_layout(**layout)
    data: dict[str, Any] = json.loads(str(figure.to_json()))
    return data


def label(text: str) -> str:
    """Escape user text, because Plotly interprets some HTML tags.

    Quotation marks are not escaped, because Plotly does not decode their entities.
    """
    return html.escape(one_line(text), quote=False)
