"""Phases: exclusive spans of the run, summed by name."""

from __future__ import annotations

import math
from collections.abc import Mapping

from carbon_core import uncertainty
from carbon_core.lazy_property import lazy_property
from carbon_core.record import field, record
from carbon_core.records import Device, Energy, Snapshot, Window

_MAX_PHASES = 256


@record(frozen=True)
class PhaseTotal:
    """Totals of the spans of one phase.

    Attributes:
        name: The phase.
        duration_s: Seconds spent in it.
        energy: Joules by device.
        count: How often it was entered.
    """

    name: str
    duration_s: float = 0.0
    energy: Mapping[Device, Energy] = field(default_factory=dict)
    count: int = 0

    def plus(self, window: Window) -> PhaseTotal:
        """Return the totals with one more span of the phase."""
        energy = dict(self.energy)
        for device, more in window.by_device.items():
            before = energy.get(device, Energy())
            energy[device] = Energy(*(a + b for a, b in zip(before, more)))
        return PhaseTotal(self.name, self.duration_s + window.duration_s, energy, self.count + 1)

    @lazy_property
    def sigma_ln(self) -> float:
        """One standard deviation of ln(reported / true) of the joules.

        Each span has ends of its own, whose errors are independent.
        """
        span_s = self.duration_s / math.sqrt(max(1, self.count))
        return uncertainty.sigmas_of(self.energy, span_s).total

    @property
    def joules(self) -> float:
        """Joules of all devices in this phase."""
        return sum(energy.joules for energy in self.energy.values())


class Phases:
    """The current phase, and the totals of those that ended.

    Args:
        first: Name of the phase that the run begins with.
        since: The totals at its beginning.
    """

    def __init__(self, first: str, since: Snapshot) -> None:
        # Other threads read it: a total is replaced as a whole, and so is the set of names.
        self.ended: Mapping[str, PhaseTotal] = {}
        self._name = first
        self._since = since

    def enter(self, phase: str, snapshot: Snapshot) -> None:
        """End the current phase and begin another."""
        name = self._name
        if name not in self.ended and len(self.ended) >= _MAX_PHASES:
            name = "(other)"
        total = self.ended.get(name, PhaseTotal(name)).plus(snapshot - self._since)
        self.ended = {**self.ended, name: total}
        self._name, self._since = phase, snapshot
