"""Phases: exclusive spans of the run, summed by name."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_core.records import Device, Energy, Snapshot, Window

_MAX_PHASES = 256


@dataclass
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
    energy: dict[Device, Energy] | None = None
    count: int = 0

    def add(self, window: Window) -> None:
        """Add one more span of the phase."""
        energy = self.energy or {}
        for device, more in window.by_device.items():
            before = energy.get(device, Energy())
            energy[device] = Energy(*(a + b for a, b in zip(before, more)))
        self.energy = energy
        self.duration_s += window.duration_s
        self.count += 1

    @property
    def joules(self) -> float:
        """Joules of all devices in this phase."""
        return sum(energy.joules for energy in (self.energy or {}).values())


class Phases:
    """The current phase, and the totals of those that ended.

    Args:
        first: Name of the phase that the run begins with.
        since: The totals at its beginning.
    """

    def __init__(self, first: str, since: Snapshot) -> None:
        self.ended: dict[str, PhaseTotal] = {}
        self._name = first
        self._since = since

    def enter(self, phase: str, snapshot: Snapshot) -> None:
        """End the current phase and begin another."""
        name = self._name
        if name not in self.ended and len(self.ended) >= _MAX_PHASES:
            name = "(other)"
        self.ended.setdefault(name, PhaseTotal(name)).add(snapshot - self._since)
        self._name, self._since = phase, snapshot
