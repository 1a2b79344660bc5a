"""What runs add up to, in little room however many there are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from carbon_core.outputs.history import PastRun, Skipped
from carbon_core.records import Estimate


@dataclass
class Total:
    """What runs add up to; intervals add up, too, for the same meters err alike.

    A million rows pass here: figures are added in place, and become estimates when they are asked for.

    Attributes:
        runs: How many there are.
        without_interval: How many of them tell no interval; each counts as if it were exact.
        duration_s: Length in seconds, one after the other.
    """

    runs: int = 0
    without_interval: int = 0
    duration_s: float = 0.0
    _kwh: float = 0.0
    _low_kwh: float = 0.0
    _high_kwh: float = 0.0
    _kg: float = 0.0
    _low_kg: float = 0.0
    _high_kg: float = 0.0

    def add(self, run: PastRun) -> None:
        """Add a run."""
        self.runs += 1
        self.without_interval += run.sigmas_ln is None
        self.duration_s += run.duration_s
        kwh, low, high = run.energy_kwh
        self._kwh += kwh
        self._low_kwh += low
        self._high_kwh += high
        kg, low, high = run.emissions_kg
        self._kg += kg
        self._low_kg += low
        self._high_kg += high

    @property
    def energy_kwh(self) -> Estimate:
        """Energy, times PUE."""
        return Estimate(self._kwh, self._low_kwh, self._high_kwh)

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions."""
        return Estimate(self._kg, self._low_kg, self._high_kg)


@dataclass
class History:
    """All runs in little room: totals by project, the latest runs and, if asked for, each day's totals.

    Attributes:
        latest: How many runs are kept.
        with_days: Whether to add up the days, too.
        total: Of all runs.
        projects: By project.
        days: By day (ISO date) and project.
        skipped: Files that told of no run.
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
        project = self.projects.get(run.project_name)
        if project is None:
            project = self.projects[run.project_name] = Total()
        project.add(run)
        if self.with_days:
            self.days.setdefault((run.time[:10], run.project_name), Total()).add(run)
        if len(self._heap) < self.latest:
            heapq.heappush(self._heap, (run.time, next(self._numbers), run))
        elif self.latest and run.time > self._heap[0][0]:
            heapq.heapreplace(self._heap, (run.time, next(self._numbers), run))

    @property
    def runs(self) -> list[PastRun]:
        """The latest runs, newest first."""
        return [run for _, _, run in sorted(self._heap, reverse=True)]
