"""Data of one run for the report: its receipt, and its timeline resampled for charts."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from carbon_core import repricing
from carbon_core.errors import OutputError
from carbon_core.hours import utc
from carbon_core.outputs import journal, past_runs, timeline
from carbon_core.outputs.receipt_reading import Receipt
from carbon_core.outputs.timeline import Timeline, resampled
from carbon_core.records import HourEnergy
from carbon_core.repricing import Finished
from carbon_core.units import kwh

_MOST_STEPS = 600
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

    @property
    def joules(self) -> list[float]:
        """Cumulative joules of all devices at each edge."""
        curves = [resampled(curve, self.times_s) for curve in self.timeline.curves]
        return [sum(at_edge) for at_edge in zip(*curves)] or [0.0] * len(self.times_s)

    @property
    def energy_kwh(self) -> list[float]:
        """Cumulative energy at each edge, including PUE."""
        return [kwh(joules) * self.pue for joules in self.joules]

    @property
    def emissions_g(self) -> list[float]:
        """Cumulative gCO2e at each edge, each step at the grid intensity of its hour."""
        grams = [0.0]
        for (t0, t1), (j0, j1) in zip(pairwise(self.times_s), pairwise(self.energy_kwh)):
            grams.append(grams[-1] + (j1 - j0) * self.intensity_at((t0 + t1) / 2))
        return grams

    @cached_property
    def intensities(self) -> list[tuple[float, float]]:
        """Start of each hour in seconds since the start of the run, and its gCO2e per kWh."""
        began = utc(self.receipt.run.started_at)
        return [
            (max(0.0, (utc(hour.start) - began).total_seconds()), self._per_kwh(hour))
            for hour in self.finished.hours
        ]

    def intensity_at(self, t_s: float) -> float:
        """Return the gCO2e per kWh at a time."""
        hours = self.intensities
        return hours[max(0, bisect_right(hours, (t_s, float("inf"))) - 1)][1]

    def clock_at(self, t_s: float) -> datetime:
        """Return the date and time (UTC) of a time in the run."""
        return utc(self.receipt.run.started_at) + timedelta(seconds=t_s)

    def _per_kwh(self, hour: HourEnergy) -> float:
        facility_kwh = kwh(hour.joules) * self.pue
        return hour.grams / facility_kwh if facility_kwh else self.receipt.intensity_g_per_kwh


def load(path: Path) -> RunView:
    """Load a run from a receipt or a journal.

    Raises:
        OutputError: The file is neither of them.
    """
    found = past_runs.read(path)
    # The reader has checked that the id leads to no other directory.
    beside = path.with_name(found.run.run_id + journal.SUFFIX)
    try:
        seen = timeline.read(path if path.name.endswith(journal.SUFFIX) else beside)
    except OutputError:
        seen = Timeline()
    duration_s = max(seen.duration_s, found.duration_s, _SHORTEST_STEP_S)
    steps = int(min(_MOST_STEPS, max(1, duration_s / _SHORTEST_STEP_S)))
    times_s = tuple(duration_s * i / steps for i in range(steps + 1))
    return RunView(found, repricing.finished(found), seen, times_s)
