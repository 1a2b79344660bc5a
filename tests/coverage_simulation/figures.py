"""Figures as the package states them, each with its interval and beside its truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from carbon_core import units
from carbon_core.record import replace
from carbon_core.records import Component, Device, Energy, Estimate, Snapshot, Window
from carbon_core.report import Report

Z_95 = 1.959964


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


def part(report: Report, counts: Callable[[Device], bool]) -> Report:
    """Return the results of some of the devices, in the shape of a run."""
    window = report.window
    return replace(report, window=Window(_only(window.start, counts), _only(window.end, counts)))


def component(report: Report, name: Component, true_j: float) -> Figure:
    """Return the energy of a component."""
    return energy(part(report, lambda device: device.component == name), true_j, f"{name} energy")


def span(report: Report, begin: Snapshot, end: Snapshot, true_j: float, name: str) -> Figure:
    """Return the energy of a window of a run."""
    return energy(replace(report, window=end - begin), true_j, name)


def phase(
    report: Report, by_device: Mapping[Device, Energy], seconds: float, true_j: float, name: str
) -> Figure:
    """Return the energy of a phase: of all its spans together."""
    end_ns = units.nanoseconds(seconds)
    total = Snapshot(end_ns, tuple(by_device), tuple(by_device.values()))
    return energy(replace(report, window=total - Snapshot(0)), true_j, name)


def together(figures: list[Figure], name: str) -> Figure:
    """Return the sum of figures whose errors are the same, such as a training's segments."""
    stated = Estimate(*(sum(values) for values in zip(*(one.stated for one in figures))))
    return Figure(name, stated, sum(one.truth for one in figures))


def _only(snapshot: Snapshot, counts: Callable[[Device], bool]) -> Snapshot:
    kept = [
        (device, energy)
        for device, energy in zip(snapshot.devices, snapshot.energies)
        if counts(device)
    ]
    return Snapshot(
        snapshot.t_ns,
        tuple(device for device, _ in kept),
        tuple(energy for _, energy in kept),
        snapshot.provisional,
    )
