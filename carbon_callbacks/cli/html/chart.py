"""What all charts of the page have in common: colours, axes, and the units that times are shown in."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

# Told apart without colour vision, and on light and dark alike: after Okabe and Ito (2008), with two
# more, for a usual machine has two processors and eight GPUs.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a125", "#888888",
    "#7a5fc7", "#8c6239",
)  # fmt: skip
GREY = "#888888"
BAND = "rgba(0, 114, 178, 0.22)"
_S_PER_MIN, _S_PER_H = 60.0, 3600.0
_LONGEST_IN_S, _LONGEST_IN_MIN = 180.0, 180 * 60.0


class Chart(NamedTuple):
    """A chart of the page.

    Attributes:
        title: Its heading.
        description: What it shows, for those who cannot see it.
        caption: What a reader must know, or an empty string.
        figure: What Plotly draws, as JSON-ready data.
    """

    title: str
    description: str
    caption: str
    figure: dict[str, Any]


class TimeAxis(NamedTuple):
    """Seconds in a unit that suits a run's length.

    Attributes:
        unit: The unit.
        unit_s: Its length in seconds.
        end_s: Where the axis ends.
    """

    unit: str
    unit_s: float
    end_s: float

    @property
    def title(self) -> str:
        """Title of the axis."""
        return f"{self.unit} since the run began"

    @property
    def layout(self) -> dict[str, Any]:
        """What Plotly must know of it."""
        return {"range": [0, self.end_s / self.unit_s]}

    def of(self, times_s: Sequence[float]) -> list[float]:
        """Return times in this unit."""
        return [round(t_s / self.unit_s, 4) for t_s in times_s]


def time_axis(duration_s: float) -> TimeAxis:
    """Return the unit that suits a run of so many seconds."""
    if duration_s <= _LONGEST_IN_S:
        return TimeAxis("s", 1.0, duration_s)
    if duration_s <= _LONGEST_IN_MIN:
        return TimeAxis("min", _S_PER_MIN, duration_s)
    return TimeAxis("h", _S_PER_H, duration_s)


def drawn(
    traces: Sequence[Any], *, x: str, y: str, height: int = 300, **layout: Any
) -> dict[str, Any]:
    """Return a figure as JSON-ready data; the page gives it the colours of its theme.

    Args:
        traces: Plotly's traces.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        height: Pixels.
        **layout: More of Plotly's layout.
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
    """Return a text of the user's as Plotly shows it letter by letter: it reads some tags itself.

    Quotation marks stay, for it does not know their names.
    """
    return html.escape(text, quote=False)
