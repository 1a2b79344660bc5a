"""Timeline of one run, resampled for the charts of the page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from carbon_core import repricing
from carbon_core.errors import OutputError
from carbon_core.hours import utc
from carbon_core.outputs import journal, timeline
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.outputs.timeline import Timeline, resampled
from carbon_core.records import HourEnergy
from carbon_core.repricing import Finished
from carbon_core.units import kwh

_SHORTEST_STEP_S = 0.25


@dataclass(frozen=True)
class RunView:
    """Data of a run for tables and charts.

    Attributes:
        receipt: Content of its receipt; computed from the journal for an unfinished run.
        finished: Energy by hour and uncertainty, to recompute emissions.
        timeline: Data over time from the journal; empty without one.
        times_s: Edges of the time steps, from start to end.
    """

    receipt: Receipt
    finished: Finished
    timeline: Timeline
    times_s: tuple[float, ...]

    @property
    def pue(self) -> float:
        """Power usage effectiveness."""
        return self.receipt.run.pue

    @property
    def step_s(self) -> float:
        """Length of a step in seconds."""
        return self.times_s[1] - self.times_s[0]

    @property
    def powers_w(self) -> list[list[float]]:
        """Average power of each device in each step, including PUE."""
        return [
            [(b - a) / self.step_s * self.pue for a, b in pairwise(resampled(curve, self.times_s))]
            for curve in self.timeline.curves
        ]

    @cached_property
    def intensities(self) -> list[tuple[float, float]]:
        """Start of each hour in seconds since the start of the run, and its gCO2e per kWh."""
        began = utc(self.receipt.run.started_at)
        return [
            (max(0.0, (utc(hour.start) - began).total_seconds()), self._per_kwh(hour))
            for hour in self.finished.hours
        ]

    def _per_kwh(self, hour: HourEnergy) -> float:
        facility_kwh = kwh(hour.joules) * self.pue
        return hour.grams / facility_kwh if facility_kwh else self.receipt.intensity_g_per_kwh


def load(path: Path, found: Receipt, most_steps: int) -> RunView:
    """Load the timeline of a run.

    Args:
        path: Its receipt or journal.
        found: The receipt; of an unfinished run, computed from the journal.
        most_steps: Most time steps of the timeline.
    """
    # The reader has checked that the id leads to no other directory.
    beside = path.with_name(found.run.run_id + journal.SUFFIX)
    try:
        seen = timeline.read(path if path.name.endswith(journal.SUFFIX) else beside)
    except OutputError:
        seen = Timeline()
    duration_s = max(seen.duration_s, found.duration_s) or _SHORTEST_STEP_S
    steps = int(min(most_steps, max(1, duration_s / _SHORTEST_STEP_S)))
    times_s = tuple(duration_s * i / steps for i in range(steps + 1))
    return RunView(found, repricing.finished(found), seen, times_s)
