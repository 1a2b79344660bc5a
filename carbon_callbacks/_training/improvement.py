"""Energy for each unit by which a metric has improved."""

from __future__ import annotations


class Improvement:
    """The best value of a metric so far, and the energy up to it.

    Improvement is counted from the first value.

    Args:
        upwards: Whether the metric becomes better as it rises.
    """

    def __init__(self, *, upwards: bool = False) -> None:
        self._sign = 1.0 if upwards else -1.0
        self._new: float | None = None
        self._first: tuple[float, float] | None = None
        self._best: tuple[float, float] | None = None

    def note(self, value: float) -> None:
        """Note a value; the energy up to it is that of the next call of `energy_per_unit_kwh`."""
        self._new = self._sign * value

    def energy_per_unit_kwh(self, energy_kwh: float | None) -> float | None:
        """Return the energy for each unit of improvement; None while there is none.

        Args:
            energy_kwh: Energy so far.
        """
        if self._new is not None and energy_kwh is not None:
            seen, self._new = (self._new, energy_kwh), None
            self._first = self._first or seen
            self._best = max(self._best or seen, seen, key=lambda one: one[0])
        if self._first is None or self._best is None or self._best[0] <= self._first[0]:
            return None
        (start, before_kwh), (best, after_kwh) = self._first, self._best
        return (after_kwh - before_kwh) / (best - start)
