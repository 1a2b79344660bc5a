"""Emissions as a function of energy: the grid intensity of each joule of a run."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.records import Intensity, IntensityShare

# Requested every two minutes, the intensity of 17 hours; after that, spans of the same kind are joined.
_MAX_POINTS = 512


class _Point(NamedTuple):
    """The end of a span in cumulative joules and grams, and its grid intensity."""

    end_j: float
    end_g: float
    intensity: Intensity


_NOTHING = _Point(0.0, 0.0, Intensity(0.0, "", "", "user", None, 0.0))


class EmissionsCurve:
    """Grams as a function of cumulative joules.

    Energy only grows, so a change of intensity is a point on the joule axis. An intensity may be set
    late, for the joules since the previous one: later calls use the better value for every window, and
    the grams of adjacent windows still add up.

    Args:
        assumed: Intensity that applies until another one is set.
        pue: Power usage effectiveness; facility energy per joule of the hardware.
    """

    def __init__(self, assumed: Intensity, *, pue: float = 1.0) -> None:
        self.assumed = assumed
        self._pue = pue
        # Assigned at once, so that a reader on another thread never sees half a change.
        self._points: tuple[_Point, ...] = ()

    def apply(self, up_to_j: float, intensity: Intensity) -> None:
        """Set the intensity of the joules since the last point, and of those that follow."""
        self.assumed = intensity
        span_j = up_to_j - self._last.end_j
        if span_j > 0:
            end_g = self._last.end_g + self._grams_of(span_j, intensity)
            self._points = _thinned((*self._points, _Point(up_to_j, end_g, intensity)))

    def revise(self, spans: Sequence[tuple[float, float, Intensity]]) -> None:
        """Replace the intensities of some spans before the last point.

        Args:
            spans: Where each begins and ends, in cumulative joules, and its intensity; ascending.
        """
        edges = {edge for begin_j, end_j, _ in spans for edge in (begin_j, end_j)}
        edges |= {one.end_j for one in self._points}
        revised = [_NOTHING]
        coming = deque(spans)
        for end_j in sorted(edge for edge in edges if 0.0 < edge <= self._last.end_j):
            begin_j = revised[-1].end_j
            while coming and coming[0][1] <= begin_j:
                coming.popleft()
            if coming and coming[0][0] <= begin_j:
                intensity = coming[0][2]
                grams = self._grams_of(end_j - begin_j, intensity)
            else:
                intensity = self._points[bisect_left(self._points, end_j, key=_end_of)].intensity
                grams = self.grams(end_j) - self.grams(begin_j)
            revised.append(_Point(end_j, revised[-1].end_g + grams, intensity))
        self._points = tuple(revised[1:])

    def grams(self, joules: float) -> float:
        """Return the grams of CO2e of the first `joules` of the run."""
        points = self._points
        i = bisect_left(points, joules, key=_end_of)
        before = points[i - 1] if i else _NOTHING
        span_j = joules - before.end_j
        if i == len(points):
            return before.end_g + self._grams_of(span_j, self.assumed)
        whole = points[i]
        return before.end_g + (whole.end_g - before.end_g) * span_j / (whole.end_j - before.end_j)

    def shares(self, to_j: float, from_j: float = 0.0) -> tuple[IntensityShare, ...]:
        """Return the part of a window's joules, and its grams, of each kind of intensity.

        Args:
            to_j: Cumulative joules at the end of the window.
            from_j: Cumulative joules at its beginning.
        """
        shares: dict[tuple[str, ...], IntensityShare] = {}
        points, begin_j, begin_g = self._points, from_j, self.grams(from_j)
        for i in range(bisect_right(points, from_j, key=_end_of), len(points)):
            end_j, end_g, intensity = points[i]
            if end_j > to_j:
                end_j, end_g = to_j, self.grams(to_j)
            if end_j <= begin_j:
                break
            _add_share(shares, intensity, end_j - begin_j, end_g - begin_g)
            begin_j, begin_g = end_j, end_g
        open_j = max(0.0, to_j - begin_j)
        if open_j or not shares:
            _add_share(shares, self.assumed, open_j, self._grams_of(open_j, self.assumed))
        return tuple(shares.values())

    @property
    def _last(self) -> _Point:
        return self._points[-1] if self._points else _NOTHING

    def _grams_of(self, joules: float, intensity: Intensity) -> float:
        return units.kwh(joules) * self._pue * intensity.g_per_kwh


def _end_of(point: _Point) -> float:
    return point.end_j


def _kind(intensity: Intensity) -> tuple[str, ...]:
    return (intensity.kind, intensity.place, intensity.source, str(intensity.scope))


def _uncertainty(intensity: Intensity) -> tuple[str, ...]:
    """Return what makes values of one source differ in certainty: measured, estimated, or old."""
    return str(intensity.sigma_ln), str(intensity.low_carbon_share is None)


def _thinned(points: tuple[_Point, ...]) -> tuple[_Point, ...]:
    """Return fewer spans where there are too many: every second joins the next of its kind."""
    if len(points) <= _MAX_POINTS:
        return points
    newest = len(points) - 1
    return tuple(
        one
        for i, one in enumerate(points)
        if i % 2 or i >= newest - 1 or _kind(one.intensity) != _kind(points[i + 1].intensity)
    )


def _add_share(
    shares: dict[tuple[str, ...], IntensityShare], intensity: Intensity, joules: float, grams: float
) -> None:
    key = (*_kind(intensity), *_uncertainty(intensity))
    before = shares.get(key, IntensityShare(intensity, 0.0, 0.0))
    shares[key] = IntensityShare(intensity, before.joules + joules, before.grams + grams)
