"""Phases: exclusive spans of the run, summed by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from carbon_core import uncertainty
from carbon_core.lazy_property import lazy_property
from carbon_core.ledger import Opening
from carbon_core.record import field, record, replace
from carbon_core.records import NO_ENERGY, Device, Energy, Snapshot, Window

_MAX_PHASES = 256
# Spans whose devices may be read late; by their end, all others have long been.
_MAX_EARLY = 256


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
            energy[device] = energy.get(device, NO_ENERGY).plus(more)
        return PhaseTotal(self.name, self.duration_s + window.duration_s, energy, self.count + 1)

    def completed(self, device: Device, more: Energy) -> PhaseTotal:
        """Return the totals with energy of a device that was learned after the phase."""
        energy = {**self.energy, device: self.energy.get(device, NO_ENERGY).plus(more)}
        return replace(self, energy=energy)

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
        self._ended: Mapping[str, PhaseTotal] = {}
        # The first spans: name, begin and end in monotonic nanoseconds.
        self._early: tuple[tuple[str, int, int], ...] = ()
        self._name = first
        self._since = since

    def enter(self, phase: str, snapshot: Snapshot) -> None:
        """End the current phase and begin another; the totals are those of `Ledger.mark`."""
        name = self._name
        if name not in self._ended and len(self._ended) >= _MAX_PHASES:
            name = "(other)"
        total = self._ended.get(name, PhaseTotal(name)).plus(snapshot - self._since)
        if len(self._early) < _MAX_EARLY:
            self._early = (*self._early, (name, self._since.t_ns, snapshot.t_ns))
        self._ended = {**self._ended, name: total}
        self._name, self._since = phase, snapshot

    def ended(self, openings: Iterable[tuple[Device, Opening]]) -> Mapping[str, PhaseTotal]:
        """Return the ended phases by name, with what is known by now of the time before first readings.

        Args:
            openings: That time of each device that was not read at once.
        """
        ended, early = dict(self._ended), self._early
        for device, opening in openings:
            for name, begin_ns, end_ns in early:
                more = opening.within(begin_ns, end_ns)
                if more.missing_s and name in ended:
                    ended[name] = ended[name].completed(device, more)
        return ended
