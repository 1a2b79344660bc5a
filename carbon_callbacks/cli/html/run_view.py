"""Data of one run for the report: its receipt, and its timeline resampled for charts."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from carbon_core import repricing
from carbon_core.errors import OutputError
from carbon_core.hours import utc
from carbon_core.input_files import text_of
from carbon_core.outputs import journal, receipt, timeline
from carbon_core.outputs.timeline import Timeline, resampled
from carbon_core.repricing import Finished
from carbon_core.units import GRAMS_PER_KG, kwh

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

    receipt: Mapping[str, Any]
    finished: Finished
    timeline: Timeline
    times_s: tuple[float, ...]

    @property
    def pue(self) -> float:
        """Power usage effectiveness."""
        return float(self.receipt["run"]["pue"])

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
        began = utc(self.receipt["run"]["started_at"])
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
        return utc(self.receipt["run"]["started_at"]) + timedelta(seconds=t_s)

    def _per_kwh(self, hour: Any) -> float:
        facility_kwh = kwh(hour.joules) * self.pue
        return (
            hour.grams / facility_kwh
            if facility_kwh
            else float(self.receipt["intensity_g_per_kwh"])
        )


def load(path: Path) -> RunView:
    """Load a run from a receipt or a journal.

    Raises:
        OutputError: The file is neither of them.
    """
    if path.name.endswith(journal.SUFFIX):
        report = journal.read(path)
        return _view(receipt.data_of(report), repricing.finished(report), path)
    finished = repricing.read_receipt(path)
    beside = path.with_name(finished.run_id + journal.SUFFIX)
    return _view(json.loads(text_of(path)), finished, beside)


def _view(data: Mapping[str, Any], finished: Finished, journal_path: Path) -> RunView:
    try:
        seen = timeline.read(journal_path)
    except OutputError:
        seen = Timeline()
    duration_s = max(seen.duration_s, float(data["duration_s"]), _SHORTEST_STEP_S)
    steps = int(min(_MOST_STEPS, max(1, duration_s / _SHORTEST_STEP_S)))
    return RunView(data, finished, seen, tuple(duration_s * i / steps for i in range(steps + 1)))


def grams(estimate_kg: Mapping[str, float]) -> dict[str, float]:
    """Convert an estimate in a receipt from kg to grams."""
    return {name: value * GRAMS_PER_KG for name, value in estimate_kg.items()}
