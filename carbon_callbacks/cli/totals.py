"""Totals of runs, with memory independent of the number of runs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.outputs.receipt_reading import EVALUATION
from carbon_core.records import Estimate
from carbon_core.uncertainty import Sum, emissions_with_errors


def group_of(run: PastRun) -> str:
    """Return the group that a run is added up in: the runs of a project, or its evaluations."""
    project = run.project_label or run.project_name
    return f"{project}, evaluations" if run.kind == EVALUATION else project


@dataclass
class Total:
    """Total of runs. What is a part of another run is counted there only.

    Errors of one method or place are correlated between runs, as those of a training's runs are. Figures
    are added in place, because a file may have a million rows.

    Attributes:
        runs: Number of runs, without those that are part of others.
        within: Number of runs that are part of others, whose energy is counted there.
        unknown: Number of runs in which nothing was measured; their energy is in no total.
        within_kwh: Energy of these runs, for information.
        within_kg: Their emissions.
        without_interval: Number of runs without uncertainty, which are counted as exact.
        duration_s: Sum of the durations in seconds.
    """

    runs: int = 0
    within: int = 0
    within_kwh: float = 0.0
    within_kg: float = 0.0
    unknown: int = 0
    without_interval: int = 0
    duration_s: float = 0.0
    _energy: Sum = field(default_factory=Sum)
    _emissions: Sum = field(default_factory=Sum)

    def add(self, run: PastRun) -> None:
        """Add a run."""
        if not run.counted:
            self.within += 1
            self.within_kwh += run.energy_kwh.value
            self.within_kg += run.emissions_kg.value
            return
        self.runs += 1
        self.duration_s += run.duration_s * run.counted
        if not run.is_known:
            self.unknown += 1
            return
        self.without_interval += run.sigmas_ln is None
        segment, part = run.segment, run.counted
        if segment is None:
            self._energy.add(run.energy_kwh.value * part, {}, 0.0)
            self._emissions.add(run.emissions_kg.value * part, {}, 0.0)
        else:
            energy = segment.energy_kwh, segment.energy_sd_kwh, segment.foreign_kwh
            self._energy.add(*_scaled(energy, part))
            self._emissions.add(*_scaled(emissions_with_errors(segment), part))

    @property
    def is_known(self) -> bool:
        """Whether the energy of any run is known; if not, the figures are 0 and are not results."""
        return self.unknown < self.runs

    @property
    def energy_kwh(self) -> Estimate:
        """Energy in kWh, including PUE."""
        return self._energy.estimate

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions in kg CO2e."""
        return self._emissions.estimate


def _scaled(
    summand: tuple[float, Mapping[str, float] | None, float], part: float
) -> tuple[float, Mapping[str, float] | None, float]:
    """Return a part (0 to 1) of a summand with its errors."""
    value, errors, foreign = summand
    if errors is not None:
        errors = {name: sd * part for name, sd in errors.items()}
    return value * part, errors, foreign * part


@dataclass
class History:
    """Totals of runs by project and, optionally, by day, and the most recent runs.

    Attributes:
        latest: Number of recent runs to keep.
        with_days: Whether to compute totals by day.
        total: Total of all runs.
        projects: Totals by group: the project as it is displayed; its evaluations are a group of their
            own (`group_of`).
        days: Totals by day (ISO date) and group.
        skipped: Files without a readable run.
    """

    latest: int
    with_days: bool = False
    total: Total = field(default_factory=Total)
    projects: dict[str, Total] = field(default_factory=dict)
    days: dict[tuple[str, str], Total] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    _heap: list[tuple[str, int, PastRun]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    def add(self, run: PastRun) -> None:
        """Add a run."""
        self.total.add(run)
        group = group_of(run)
        project = self.projects.get(group)
        if project is None:
            project = self.projects[group] = Total()
        project.add(run)
        if self.with_days:
            self.days.setdefault((run.time[:10], group), Total()).add(run)
        if len(self._heap) < self.latest:
            heapq.heappush(self._heap, (run.time, next(self._numbers), run))
        elif self.latest and run.time > self._heap[0][0]:
            heapq.heapreplace(self._heap, (run.time, next(self._numbers), run))

    @property
    def recent_of_total(self) -> str:
        """Number of recent runs as text, with that of all runs if they differ."""
        recent, total = len(self._heap), self.total.runs + self.total.within
        return f"{recent:,}" if recent == total else f"{recent:,} of {total:,}"

    @property
    def runs(self) -> list[PastRun]:
        """The most recent runs, newest first."""
        return [run for _, _, run in sorted(self._heap, reverse=True)]
