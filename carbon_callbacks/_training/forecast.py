"""Forecast of the energy and time of a training, from its epochs so far.

The rate (energy, or seconds, for each unit of progress) is a straight line with noise around it, fitted
by Bayesian linear regression: before there is anything to fit, epochs differ by a tenth and a whole
training drifts by a half (one standard deviation). Deviations from the line are modelled by a random
walk, whose step is at least three tenths of the rate over a whole training, and more if the two halves
so far differ more. These three constants were chosen so that 95 % intervals cover the truth in
simulated trainings that drift, jump, slow down and wander (see the tests).
"""

from __future__ import annotations

import math
from typing import NamedTuple

_NOISE = 0.1
_DRIFT = 0.5
_WALK = 0.3
# Degrees of freedom that the assumed noise counts for.
_PRIOR_FREEDOM = 3
_MAX_LAPS = 256


class Lap(NamedTuple):
    """A part of the training: its middle and its length (both 0 to 1), and the amount used in it."""

    middle: float
    length: float
    amount: float


class Forecast(NamedTuple):
    """An amount with its 95 % interval, in the unit of the laps' amounts."""

    value: float
    low: float
    high: float


class Laps:
    """The laps of a training so far, of bounded number: neighbours are joined.

    Args:
        progress: Part of the training (0 to 1) that was done before.
    """

    def __init__(self, progress: float) -> None:
        self._laps: list[Lap] = []
        self._progress = progress
        self._amount = 0.0

    def add(self, progress: float, amount: float) -> None:
        """Add the amount used until a progress (0 to 1); ignored without progress since the last one."""
        length = progress - self._progress
        if length > 0:
            lap = Lap(self._progress + length / 2, length, amount - self._amount)
            self._laps.append(lap)
            self._progress, self._amount = progress, amount
        if len(self._laps) > _MAX_LAPS:
            pairs = zip(self._laps[::2], self._laps[1::2])
            rest = self._laps[len(self._laps) // 2 * 2 :]
            self._laps = [_joined(one, other) for one, other in pairs] + rest

    def forecast(self) -> Forecast | None:
        """Return the expected amount at the end of the training; None before the first lap."""
        if not self._laps:
            return None
        rest = remaining(self._laps, min(1.0, self._progress))
        return Forecast(*(self._amount + figure for figure in rest))


class _Line(NamedTuple):
    """A line through the rates: its level at the present, its slope, and how sure they are.

    The variances and the covariance are in units of the noise's.
    """

    level: float
    slope: float
    level_var: float
    slope_var: float
    covariance: float


class _Rates:
    """Amount of each lap for each unit of progress, weighted by the laps' lengths.

    Args:
        laps: At least one.
        progress: Where the last of them ended.
    """

    def __init__(self, laps: list[Lap], progress: float) -> None:
        self.points = [(lap.middle - progress, lap.length, lap.amount / lap.length) for lap in laps]
        self.weight = sum(w for _, w, _ in self.points)
        self.mean = sum(w * y for _, w, y in self.points) / self.weight

    def line(self, noise: float) -> _Line:
        """Fit a line; a slope must stand out from the noise, for a small one is assumed."""
        sx = sum(w * x for x, w, _ in self.points)
        sxx = sum(w * x * x for x, w, _ in self.points) + noise / (_DRIFT * self.mean) ** 2
        sy, sxy = self.weight * self.mean, sum(w * x * y for x, w, y in self.points)
        det = self.weight * sxx - sx * sx
        level, slope = (sxx * sy - sx * sxy) / det, (self.weight * sxy - sx * sy) / det
        return _Line(level, slope, sxx / det, self.weight / det, -sx / det)

    def squares(self, line: _Line) -> float:
        """Return the weighted sum of squares around a line."""
        return sum(w * (y - line.level - line.slope * x) ** 2 for x, w, y in self.points)


def remaining(laps: list[Lap], progress: float) -> Forecast:
    """Return the remaining amount after `progress` (0 to 1), with a 95 % interval.

    Args:
        laps: The laps so far; at least one.
        progress: Where the last of them ended.
    """
    rates = _Rates(laps, progress)
    if rates.mean <= 0:
        return Forecast(0.0, 0.0, 0.0)
    # The variance of the rate of a lap, times its length: noise averages out over longer laps.
    assumed = (_NOISE * rates.mean) ** 2 * rates.weight / len(laps)
    freedom = _PRIOR_FREEDOM + len(laps) - 1
    squares = rates.squares(rates.line(assumed))
    noise = (_PRIOR_FREEDOM * assumed + squares) / freedom
    line = rates.line(noise)
    left = 1.0 - progress
    half = left * left / 2  # the integrals of 1 and of x over what is left
    of_line = left**2 * line.level_var + half**2 * line.slope_var
    of_line += 2 * left * half * line.covariance
    walk = _walk([y for *_, y in rates.points], rates.mean, progress)
    sigma = math.sqrt(noise * (of_line + left) + walk**2 * left**3 / 3)
    value = max(0.0, line.level * left + line.slope * half)
    from carbon_core import t_975

    reach = t_975(freedom) * sigma
    return Forecast(value, max(0.0, value - reach), value + reach)


def _walk(rates: list[float], mean: float, progress: float) -> float:
    """Return the random walk's standard deviation over a whole training."""
    if len(rates) < 4:
        return _WALK * mean
    half = len(rates) // 2
    change = abs(sum(rates[-half:]) - sum(rates[:half])) / half
    return max(_WALK * mean, change / math.sqrt(progress / 3))


def _joined(one: Lap, other: Lap) -> Lap:
    length = one.length + other.length
    middle = (one.middle * one.length + other.middle * other.length) / length
    return Lap(middle, length, one.amount + other.amount)
