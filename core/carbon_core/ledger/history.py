"""The last few totals of a device, to interpolate between."""

from __future__ import annotations

from carbon_core.records import Energy

# Marks are resolved after the next reading of every device, so a few points of history suffice.
_LENGTH = 4

_Point = tuple[int, float, float, float, float]


class History:
    """Cumulative energy at the last readings.

    Args:
        opened_ns: Monotonic time of the first point, with no energy, in nanoseconds.
    """

    __slots__ = ("_points",)

    def __init__(self, opened_ns: int) -> None:
        # Flat tuples (t_ns, *energy): this is written at every reading of every device. Assigned at
        # once, for other threads read it.
        self._points: tuple[_Point, ...] = ((opened_ns, 0.0, 0.0, 0.0, 0.0),)

    @property
    def end(self) -> _Point:
        """The last point: its time in nanoseconds, and the figures of `Energy`."""
        return self._points[-1]

    def add(
        self, t_ns: int, measured_j: float, extrapolated_j: float, missing_s: float, sd_j: float
    ) -> None:
        """Add the totals at a reading."""
        point = (t_ns, measured_j, extrapolated_j, missing_s, sd_j)
        self._points = (*self._points[1 - _LENGTH :], point)

    def at(self, t_ns: int) -> Energy:
        """Return the totals at an instant up to the last point, interpolated."""
        points = self._points
        if t_ns >= points[-1][0]:
            return Energy(*points[-1][1:])
        if t_ns <= points[0][0]:
            return Energy(*points[0][1:])
        upper = len(points) - 1
        while t_ns < points[upper - 1][0]:
            upper -= 1
        before, after = points[upper - 1], points[upper]
        fraction = (t_ns - before[0]) / (after[0] - before[0])
        return Energy(*[a + (b - a) * fraction for a, b in zip(before[1:], after[1:])])
