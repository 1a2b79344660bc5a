"""Emissions as a function of energy: what each joule of a run was priced at."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from carbon_core import units
from carbon_core.records import Intensity, PriceShare

# Requested every two minutes, the intensity of 17 hours; after that, spans of the same kind are joined.
_MAX_PRICES = 512


class _Priced(NamedTuple):
    """Where a span that is priced ends, in cumulative joules and grams, and what priced it."""

    end_j: float
    end_g: float
    intensity: Intensity


_NOTHING = _Priced(0.0, 0.0, Intensity(0.0, "", "", "user", None, 0.0))


class PriceCurve:
    """Grams as a function of cumulative joules.

    Energy only ever grows, so a price change is a point on the joule axis. A price may be set late,
    for the joules since the previous one: whoever asks afterwards sees the better value, for every
    window alike, and the grams of adjacent windows still add up.

    Args:
        assumed: The intensity that holds until a source says otherwise.
        pue: Power usage effectiveness; facility energy per joule of the hardware.
    """

    def __init__(self, assumed: Intensity, *, pue: float = 1.0) -> None:
        self.assumed = assumed
        self._pue = pue
        # Assigned at once, so that a reader on another thread never sees half a change.
        self._priced: tuple[_Priced, ...] = ()

    def price(self, up_to_j: float, intensity: Intensity) -> None:
        """Price the joules since the last price, and assume the value for those that follow."""
        self.assumed = intensity
        span_j = up_to_j - self._last.end_j
        if span_j > 0:
            end_g = self._last.end_g + self._grams_of(span_j, intensity)
            self._priced = _thinned((*self._priced, _Priced(up_to_j, end_g, intensity)))

    def revise(self, spans: Sequence[tuple[float, float, Intensity]]) -> None:
        """Give spans of what is priced already other intensities; the rest keeps its own.

        Args:
            spans: Where each begins and ends, in cumulative joules, and its intensity; ascending.
        """
        edges = {edge for begin_j, end_j, _ in spans for edge in (begin_j, end_j)}
        edges |= {one.end_j for one in self._priced}
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
                intensity = self._priced[bisect_left(self._priced, end_j, key=_end_of)].intensity
                grams = self.grams(end_j) - self.grams(begin_j)
            revised.append(_Priced(end_j, revised[-1].end_g + grams, intensity))
        self._priced = tuple(revised[1:])

    def grams(self, joules: float) -> float:
        """Return the grams of CO2e that the first `joules` of the run stand for."""
        priced = self._priced
        i = bisect_left(priced, joules, key=_end_of)
        before = priced[i - 1] if i else _NOTHING
        span_j = joules - before.end_j
        if i == len(priced):
            return before.end_g + self._grams_of(span_j, self.assumed)
        whole = priced[i]
        return before.end_g + (whole.end_g - before.end_g) * span_j / (whole.end_j - before.end_j)

    def shares(self, total_j: float) -> tuple[PriceShare, ...]:
        """Return how much of a run of `total_j` joules each kind of intensity priced."""
        shares: dict[tuple[str, ...], PriceShare] = {}
        before = _NOTHING
        for one in self._priced:
            joules, grams = one.end_j - before.end_j, one.end_g - before.end_g
            _add_share(shares, one.intensity, joules, grams)
            before = one
        open_j = max(0.0, total_j - before.end_j)
        if open_j or not shares:
            _add_share(shares, self.assumed, open_j, self._grams_of(open_j, self.assumed))
        return tuple(shares.values())

    @property
    def _last(self) -> _Priced:
        return self._priced[-1] if self._priced else _NOTHING

    def _grams_of(self, joules: float, intensity: Intensity) -> float:
        return units.kwh(joules) * self._pue * intensity.g_per_kwh


def _end_of(priced: _Priced) -> float:
    return priced.end_j


def _kind(intensity: Intensity) -> tuple[str, ...]:
    return (intensity.kind, intensity.place, intensity.source, str(intensity.scope))


def _thinned(priced: tuple[_Priced, ...]) -> tuple[_Priced, ...]:
    """Return fewer spans where there are too many: every second joins the next of its kind."""
    if len(priced) <= _MAX_PRICES:
        return priced
    newest = len(priced) - 1
    return tuple(
        one
        for i, one in enumerate(priced)
        if i % 2 or i >= newest - 1 or _kind(one.intensity) != _kind(priced[i + 1].intensity)
    )


def _add_share(
    shares: dict[tuple[str, ...], PriceShare], intensity: Intensity, joules: float, grams: float
) -> None:
    key = _kind(intensity)
    before = shares.get(key, PriceShare(intensity, 0.0, 0.0))
    shares[key] = PriceShare(intensity, before.joules + joules, before.grams + grams)
