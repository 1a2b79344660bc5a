"""Measures simulated devices with the package's sampler, on a clock that is advanced by hand.

A figure is a result as the package states it, with its interval and beside its truth.
"""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.emissions_curve import EmissionsCurve
from carbon_core.hardware.base import Meter
from carbon_core.record import replace
from carbon_core.records import Component, Estimate, Intensity, Snapshot
from carbon_core.report import Phase, Report, RunFacts
from carbon_core.sampler import Mark, PhaseTotal, Sampler
from carbon_core.testing import FakeClock

_ids = itertools.count()
USER = Intensity(400.0, "a place", "a user", "user", None, 0.0)
# A heartbeat starts a thread and changes no energy.
_NEVER_S = 1e8
# Readings that a sampler makes soon after the start, in seconds.
_EARLY_S = (0.0, 0.1, 0.45, 1.8, 7.2)


class Measurement:
    """One run of the sampler.

    Attributes:
        clock: The clock; meters read it.
        begin_s: Monotonic time of the start in seconds.
        phases: Phase at each mark so far, with its time in seconds.

    Args:
        first_phase: Name of the phase at the start.
        intensity: Grid intensity that the report uses.
        year: Year of the run.
    """

    def __init__(
        self, first_phase: str = "train", intensity: Intensity = USER, year: int = 2026
    ) -> None:
        self.clock = FakeClock()
        self.begin_s = self.now_s
        self.phases: list[tuple[float, str]] = [(self.begin_s, first_phase)]
        self._intensity = intensity
        self._year = year
        self._meters: Sequence[Meter] = ()
        self._detect: Callable[[], Sequence[Meter]] = tuple
        self._opened = Snapshot(self.clock.monotonic_ns())
        self._end = self._opened
        self.sampler = Sampler(
            clock=self.clock,
            opened_ns=self._opened.t_ns,
            first_phase=first_phase,
            detect=lambda: self._detect(),
            heartbeat_s=_NEVER_S,
            on_heartbeat=lambda snapshot: None,
            on_fault=lambda text: None,
        )

    @property
    def now_s(self) -> float:
        """Monotonic time in seconds."""
        return units.seconds(self.clock.monotonic_ns())

    def begin(self, *meters: Meter) -> None:
        """Start with some meters."""
        self.begin_late(lambda: meters, 0.0)

    def begin_late(self, find: Callable[[], Sequence[Meter]], late_s: float) -> None:
        """Start; the search for meters takes some seconds."""

        def detect() -> Sequence[Meter]:
            self.clock.advance(late_s)
            self._meters = find()
            return self._meters

        self._detect = detect
        self.sampler.begin()

    def go(self, seconds: float, tick_s: float | None = None) -> None:
        """Measure for some seconds; the sampler wakes up whenever a meter is due."""
        if tick_s is None:
            tick_s = min((meter.period_s for meter in self._meters), default=1.0)
        end_s = self.now_s + seconds
        early = [self.begin_s + one for one in _EARLY_S]
        while (now_s := self.now_s) < end_s - 1e-6:
            ahead_s = min([one for one in early if one > now_s + 1e-6], default=end_s)
            self.clock.advance(max(1e-6, min(now_s + tick_s, ahead_s, end_s) - now_s))
            self.sampler.step([])

    def pause(self, seconds: float) -> None:
        """Let time pass without any reading: the process is stopped."""
        self.clock.advance(seconds)

    def mark(self, phase: str | None = None) -> Snapshot:
        """Return the totals now; begin a phase, if one is given."""
        mark = Mark(self.clock.monotonic_ns(), phase)
        self.sampler.step([mark])
        if phase is not None:
            self.phases.append((units.seconds(mark.t_ns), phase))
        return self._totals(mark)

    def end(self) -> Report:
        """End the run and return its results."""
        mark = Mark(self.clock.monotonic_ns(), "(end)", last=True)
        self.end_s = self.now_s
        self.sampler.step([mark])
        self._end = self._totals(mark)
        return self.report(self._end)

    def _totals(self, mark: Mark) -> Snapshot:
        return self.sampler.completed(mark.snapshot) if mark.snapshot else self._opened

    def report(self, end: Snapshot) -> Report:
        """Return the results up to a snapshot."""
        curve, run_id = EmissionsCurve(self._intensity), str(uuid.UUID(int=next(_ids)))
        return Report(
            run=RunFacts(
                run_id, "simulated", f"{self._year}-03-01T00:00:00+00:00", "0", "3", "Linux"
            ),
            status="completed",
            ended_at=self.clock.now().isoformat(),
            window=end - self._opened,
            intensities=curve.shares(end.joules),
        )

    def spans_of(self, phase: str) -> list[tuple[float, float]]:
        """Return when a phase began and ended, in seconds."""
        ends = [begin_s for begin_s, _ in self.phases[1:]] + [self.end_s]
        return [
            (begin_s, end_s) for (begin_s, name), end_s in zip(self.phases, ends) if name == phase
        ]


class Figure(NamedTuple):
    """One figure of a run.

    Attributes:
        name: What it is, such as ``energy``.
        stated: Value and interval.
        truth: The true value in the same unit.
    """

    name: str
    stated: Estimate
    truth: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval, in ln."""
        return math.log(self.stated.high / self.stated.low) / 2.0

    @property
    def error(self) -> float:
        """Return ln(reported / true)."""
        return math.log(self.stated.value / self.truth)

    @property
    def holds(self) -> bool:
        """Whether the interval contains the truth."""
        return self.stated.low <= self.truth <= self.stated.high

    def check(self) -> None:
        """Raise ValueError where a figure is not finite or outside of its interval."""
        low, value, high = self.stated.low, self.stated.value, self.stated.high
        if not 0.0 < low <= value <= high < math.inf:
            raise ValueError(f"{self.name}: invalid interval {self.stated}")


def energy(report: Report, true_j: float, name: str = "energy") -> Figure:
    """Return the energy of a run, or of a part in the shape of one."""
    return Figure(name, report.energy_kwh, units.kwh(true_j) * report.run.pue)


def component(report: Report, name: Component, true_j: float) -> Figure:
    """Return the energy of a component."""
    stated = report.intervals.component_kwh(name)
    return Figure(f"{name} energy", stated, units.kwh(true_j) * report.run.pue)


def span(report: Report, begin: Snapshot, end: Snapshot, true_j: float, name: str) -> Figure:
    """Return the energy of a window of a run."""
    return energy(replace(report, window=end - begin), true_j, name)


def phase(report: Report, total: PhaseTotal, true_j: float) -> Figure:
    """Return the energy of a phase: of all its spans together."""
    one = Phase(total.name, total.duration_s, total.joules, total.count, total.sigma_ln)
    return Figure(f"phase {total.name}", report.intervals.phase_kwh(one), units.kwh(true_j))


def training(reports: Sequence[Report], true_j: float) -> list[Figure]:
    """Return energy and emissions of a training of several segments or ranks."""
    *others, last = reports
    whole = replace(last, others=tuple(one.segment for one in others))
    true_kg = units.kwh(true_j) * USER.g_per_kwh / units.GRAMS_PER_KG
    return [
        Figure("training energy", whole.intervals.training_kwh, units.kwh(true_j)),
        Figure("training emissions", whole.intervals.training_kg, true_kg),
    ]
