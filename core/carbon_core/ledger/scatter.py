"""How much a device's mean power differs from one span to the next, by the length of the spans.

Of spans of 1 s, 4 s, 16 s and so on up to about an hour, the squared differences of neighbouring means
are summed. That is of fixed size, and most readings cost two additions. What short spans have shown is
what is expected of longer ones, until these have shown more.
"""

from __future__ import annotations

import math

from carbon_core.methods import EXTRAPOLATED

_FINEST_S = 1.0
_RATIO = 4.0
_LEVELS = 7
# Before a device has shown how it varies, its power may have been half or double. What is expected
# counts like so many differences of spans.
_PRIOR_COUNT = 1.0
# The error of a gap is that of two means, of the gap and of its neighbour, each half of a difference.
# Of power that changes slowly they differ by up to a whole one.
_OF_BOTH = 0.75


class _Level:
    """The spans of one length: the one that is being filled, and the differences so far."""

    __slots__ = ("count", "joules", "least_s", "mean_w", "span_s", "squares", "total_s")

    def __init__(self, least_s: float) -> None:
        self.least_s = least_s
        self.joules = self.span_s = self.squares = self.total_s = 0.0
        self.mean_w: float | None = None
        self.count = 0


class Scatter:
    """Collects what one device's power does from one span to the next."""

    __slots__ = ("_joules", "_levels", "_span_s")

    def __init__(self) -> None:
        self._joules = self._span_s = 0.0
        self._levels: tuple[_Level, ...] = ()

    def add(self, joules: float, span_s: float) -> bool:
        """Add measured joules with the seconds that they took; return whether more is known now."""
        self._joules += joules
        self._span_s += span_s
        if self._span_s < _FINEST_S:
            return False
        joules, span_s = self._joules, self._span_s
        self._joules = self._span_s = 0.0
        for i in range(_LEVELS):
            if i == len(self._levels):
                self._levels = (*self._levels, _Level(_FINEST_S * _RATIO**i))
            level = self._levels[i]
            level.joules += joules
            level.span_s += span_s
            if level.span_s < level.least_s:
                break
            joules, span_s = level.joules, level.span_s
            level.joules = level.span_s = 0.0
            before_w, level.mean_w = level.mean_w, joules / span_s
            if before_w is not None:
                level.squares += (level.mean_w - before_w) ** 2
                level.count += 1
                level.total_s += span_s
        return True

    def spread_w(self, gap_s: float, beside_s: float, power_w: float) -> float:
        """Return one standard deviation of the mean power of a gap, in watts.

        Args:
            gap_s: Length of the gap in seconds.
            beside_s: Length of the span beside it whose power was used for it.
            power_w: That power in watts.
        """
        prior = (EXTRAPOLATED.sigma_ln * power_w) ** 2 / (2 * _OF_BOTH)
        both = self._square(gap_s, prior) + self._square(beside_s, prior)
        return math.sqrt(_OF_BOTH * both)

    def _square(self, span_s: float, prior: float) -> float:
        """Return the mean square of the differences of neighbouring spans of a length."""
        found, known_s = prior, 0.0
        for level in self._levels:
            if not level.count or known_s >= span_s:
                break
            length_s = level.total_s / level.count
            expected = found * _growth(length_s, known_s)
            found = (level.squares + _PRIOR_COUNT * expected) / (level.count + _PRIOR_COUNT)
            known_s = length_s
        return found * _growth(span_s, known_s)


def _growth(span_s: float, known_s: float) -> float:
    """Return how much more the squares of longer spans are, as long as these were not seen.

    Of power without a memory they fall as the length rises, of power that drifts they rise with its
    square: this is between both.
    """
    return math.sqrt(max(1.0, span_s / known_s)) if known_s else 1.0
