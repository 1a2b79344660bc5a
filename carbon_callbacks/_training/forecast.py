"""Forecast of the energy and time of a training, from its laps so far.

A lap is a part of the training with the amount used in it; its rate is amount / length. The forecast of
what remains (length q of 1) is the mean over hypotheses. Each assumes a time since which the present
level of the rate holds: the begin of the training, or that of lap j (a step change; Adams and MacKay
2007, with a single change). Their weights are prior x likelihood. A hypothesis gives

    remaining = q x mean rate since j + slope x (distance over which it continues)

The slope is that of the least-squares line, shrunk by its uncertainty relative to the drift of typical
trainings. It continues for as long as it was observed (a damped trend; Gardner and McKenzie 1985). A
change that was observed for a short time only may pass: then the mean of all laps holds. Further
hypotheses, with some lengths of a warm-up, are a rate that falls exponentially since the run began.

Rates of trainings have a long memory (validations, other programs, clocks, sample lengths), so noise
averages out more slowly than that of independent laps. The amount over a length l has the variance
c^2 l^2H with H = 0.7 (fractional Gaussian noise; Mandelbrot and Van Ness 1968); H = 0.5 would be
independent. c is estimated from the laps. For changes that no lap has shown yet (a jump, a final
evaluation), both reaches are at least s q^3 / (q^3 + 0.12^3) of the present level: nearly constant
until little is left, because a late change is as large as an early one. s is 0.168 below and 0.268
above: a step seldom needs half the energy of the former ones, but twice as much if a fast path is lost.

    reach^2 = (1.96 sd of the hypotheses)^2 + (t sd of the mean)^2 + max(t c q^H, s(q) level)^2

The constants were chosen so that 95 % intervals contain the truth in simulated trainings of many kinds
(`tests/trainings.py`), and so that a tenth of a steady training gives its total within 30 %.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_MEMORY = 0.7  # H above
_SURPRISE_BELOW, _SURPRISE_ABOVE = 0.168, 0.268
# Part of the training that is left when half of that remains.
_SURPRISE_LEFT = 0.12
# One standard deviation: of a lap's rate, and of the drift over a whole training.
_NOISE = 0.1
_DRIFT = 0.5
# Laps that the assumed noise counts for.
_PRIOR_LAPS = 3
_CHANGE_PROBABILITY = 0.3
_WARM_UP_PROBABILITY = 0.1
# How long it takes, as parts of what was done; and the least laps that show it.
_WARM_UP_PARTS = (0.1, 0.2, 0.4, 0.8)
_WARM_UP_LAPS = 6
_SAME_PROBABILITY = 1.0 - _CHANGE_PROBABILITY - _WARM_UP_PROBABILITY
# Standard deviation of ln(rate after / rate before) of a lasting change.
_CHANGE_SIZE_LN = 0.7
_LEAST_LEVEL = 0.05
_MAX_LAPS = 64
_Z_975 = 1.96


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


NOTHING = Forecast(0.0, 0.0, 0.0)


class Surprise(NamedTuple):
    """Changes that no lap has shown yet, relative to the present level: reach below and above it."""

    below: float = _SURPRISE_BELOW
    above: float = _SURPRISE_ABOVE


WITHIN_A_TRAINING = Surprise()


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
            lap = Lap(self._progress + length / 2, length, max(0.0, amount - self._amount))
            self._laps.append(lap)
            self._progress, self._amount = progress, amount
        if len(self._laps) > _MAX_LAPS:
            pairs = zip(self._laps[::2], self._laps[1::2])
            rest = self._laps[len(self._laps) // 2 * 2 :]
            self._laps = [_joined(one, other) for one, other in pairs] + rest

    def forecast(
        self, warm_up: float = 0.0, surprise: Surprise = WITHIN_A_TRAINING
    ) -> Forecast | None:
        """Return the expected amount at the end of the training; None before the first lap.

        Args:
            warm_up: Part of the first lap (0 to 1) that may be warm-up, which does not recur; later laps
                show how much it was.
            surprise: How much may change.
        """
        if not self._laps:
            return None
        rest = remaining(self._laps, min(1.0, self._progress), surprise)
        if len(self._laps) == 1:
            rest = Forecast(rest.value * (1 - warm_up / 2), rest.low * (1 - warm_up), rest.high)
        return Forecast(*(self._amount + figure for figure in rest))


def remaining(laps: list[Lap], progress: float, surprise: Surprise = WITHIN_A_TRAINING) -> Forecast:
    """Return the remaining amount after `progress` (0 to 1), with a 95 % interval.

    Args:
        laps: The laps so far; at least one.
        progress: Where the last of them ended.
        surprise: How much may change.
    """
    from carbon_core import t_975

    left, unit = 1.0 - progress, _typical_rate(laps)
    if unit <= 0 or left <= 0:
        return NOTHING
    freedom = _PRIOR_LAPS + _effective(len(laps))
    t = t_975(round(freedom))
    found = _hypotheses(
        [(lap.middle - progress, lap.length, lap.amount / unit) for lap in laps], left
    )
    total = sum(one.weight for one in found)
    value = sum(one.weight * one.remaining for one in found) / total
    noise_var = sum(one.weight * one.noise_var for one in found) / total
    of_noise = sum(one.weight * one.mean_var for one in found) / total
    between = (
        sum(one.weight * (one.slope_var + (one.remaining - value) ** 2) for one in found) / total
    )
    value = max(_LEAST_LEVEL * left, value)
    known_var = (t**2 * of_noise + _Z_975**2 * between) / value**2
    noise = t * math.sqrt(noise_var) * left**_MEMORY / value
    part = left**2 / (left**3 + _SURPRISE_LEFT**3)
    below, above = (math.sqrt(known_var + max(noise, most * part) ** 2) for most in surprise)
    low, high = max(0.0, _exp(-below)), _exp(above)
    return Forecast(value * unit, value * low * unit, value * high * unit)


def _exp(reach: float) -> float:
    """Return exp to third order: what is left may be several times as much, or nothing."""
    return 1.0 + reach + reach**2 / 2 + reach**3 / 6


class _Sums(NamedTuple):
    """Sums over laps of length w at x with rate y: from these follows every line through them."""

    w: float = 0.0
    wx: float = 0.0
    wxx: float = 0.0
    wy: float = 0.0
    wxy: float = 0.0
    wyy: float = 0.0

    def plus(self, x: float, w: float, amount: float) -> _Sums:
        """Return the sums with one lap more."""
        y = amount / w
        more = (w, w * x, w * x * x, amount, amount * x, amount * y)
        return _Sums(*(one + other for one, other in zip(self, more)))

    def minus(self, earlier: _Sums) -> _Sums:
        """Return the sums of the laps since `earlier`."""
        return _Sums(*(one - other for one, other in zip(self, earlier)))


class _Line(NamedTuple):
    """A line through the rates of neighbouring laps.

    Attributes:
        length: Of all of the laps.
        mean: Their mean rate.
        slope: Change of the rate by unit of progress, shrunk.
        slope_var: Its variance.
        squares: Sum of squares around the line, weighted by length.
    """

    length: float = 0.0
    mean: float = 0.0
    slope: float = 0.0
    slope_var: float = _DRIFT**2
    squares: float = 0.0


class _Hypothesis(NamedTuple):
    """What would be left, and its variances, if the present level held since some lap.

    Attributes:
        weight: Probability, up to a factor.
        remaining: Expected amount.
        noise_var: c^2 of the noise.
        mean_var: Variance of `remaining` from the uncertainty of the mean.
        slope_var: The same from that of the slope.
    """

    weight: float
    remaining: float
    noise_var: float
    mean_var: float
    slope_var: float


def _hypotheses(points: list[tuple[float, float, float]], left: float) -> list[_Hypothesis]:
    """Return every hypothesis.

    Args:
        points: Of each lap: middle relative to the present, length, and amount.
        left: Length of what is left.
    """
    sums = [_Sums()]
    for point in points:
        sums.append(sums[-1].plus(*point))
    count, whole = len(points), sums[-1]
    lap = whole.w / count
    lines = [(_line(sums[j], lap), _line(whole.minus(sums[j]), lap)) for j in range(count)]
    noises = [_noise_var(sum(one.squares for one in pair) / whole.w, count, lap) for pair in lines]
    fits = (_warm_up(points, part * whole.w, count) for part in _WARM_UP_PARTS)
    warm_ups = [fit for fit in fits if fit is not None]
    power = (_PRIOR_LAPS + _effective(count)) / 2
    least = min([*noises, *(one.noise_var for one in warm_ups)])
    level = whole.wy / whole.w
    found: list[_Hypothesis] = []
    passing = 0.0
    for j, ((before, since), noise) in enumerate(zip(lines, noises)):
        prior = _CHANGE_PROBABILITY / (count - 1) if j else _SAME_PROBABILITY
        weight = prior * (least / noise) ** power
        lasts = _lasting(before, since, count - j)
        passing += weight * (1.0 - lasts)
        seen = min(left, since.length)
        way = left * since.length / 2 + seen**2 / 2 + seen * (left - seen)
        found.append(
            _Hypothesis(
                weight * lasts,
                left * since.mean + since.slope * way,
                noise,
                noise * since.length ** (2 * _MEMORY - 2) * left**2,
                since.slope_var * way**2,
            )
        )
    found += [one.hypothesis(left, whole.w, (least / one.noise_var) ** power) for one in warm_ups]
    of_all = noises[0] * whole.w ** (2 * _MEMORY - 2) * left**2
    return [*found, _Hypothesis(passing, left * level, noises[0], of_all, 0.0)]


class _WarmUp(NamedTuple):
    """A rate that falls from the begin of a run on: level + excess x exp(-progress / decay).

    Attributes:
        decay: Part of the training after which 1/e of the excess is left.
        level: Rate that it falls to.
        excess: Excess of the rate at the begin.
        noise_var: c^2 of the noise around it.
        widening: Variance of the level relative to that of a mean.
    """

    decay: float
    level: float
    excess: float
    noise_var: float
    widening: float

    def hypothesis(self, left: float, done: float, likelihood: float) -> _Hypothesis:
        """Return what would be left.

        Args:
            left: Length of what is left.
            done: Length of the part that this run trained.
            likelihood: Up to a factor.
        """
        rest = math.exp(-done / self.decay) * -math.expm1(-left / self.decay)
        mean_var = self.noise_var * done ** (2 * _MEMORY - 2) * left**2 * self.widening
        return _Hypothesis(
            _WARM_UP_PROBABILITY / len(_WARM_UP_PARTS) * likelihood,
            left * self.level + self.excess * self.decay * rest,
            self.noise_var,
            mean_var,
            0.0,
        )


def _warm_up(points: list[tuple[float, float, float]], decay: float, count: int) -> _WarmUp | None:
    """Fit a rate that falls; None where it does not.

    Args:
        points: As in `_hypotheses`.
        decay: As in `_WarmUp`.
        count: Number of laps.
    """
    if count < _WARM_UP_LAPS:
        return None
    sums, end = _Sums(), 1.0
    begin = points[0][0] - points[0][1] / 2
    for middle, length, amount in points:
        before, end = end, math.exp((begin - middle - length / 2) / decay)
        sums = sums.plus((before - end) * decay / length, length, amount)
    spread = sums.wxx - sums.wx**2 / sums.w
    if spread <= 1e-9 * sums.w:
        return None
    mean = sums.wy / sums.w
    excess = (sums.wxy - sums.wx * mean) / spread
    level = mean - excess * sums.wx / sums.w
    if excess <= 0 or level < _LEAST_LEVEL * mean:
        return None
    squares = max(0.0, sums.wyy - sums.wy * mean - excess**2 * spread)
    noise_var = _noise_var(squares / sums.w, count, sums.w / count)
    return _WarmUp(decay, level, excess, noise_var, sums.wxx / spread)


def _line(sums: _Sums, lap: float) -> _Line:
    """Fit a line; its slope is shrunk by its uncertainty.

    Args:
        sums: Of the laps.
        lap: Mean length of a lap.
    """
    if sums.w <= 0:
        return _Line()
    mean = sums.wy / sums.w
    xx, xy = sums.wxx - sums.wx**2 / sums.w, sums.wxy - sums.wx * mean
    yy = max(0.0, sums.wyy - sums.wy * mean)
    if xx <= 1e-9 * sums.w**3:  # a single lap
        return _Line(sums.w, mean, squares=yy)
    slope = xy / xx
    noise = _noise_var(max(0.0, yy - slope * xy) / sums.w, sums.w / lap, lap)
    own_var = 12 * noise * sums.w ** (2 * _MEMORY - 4)
    kept = _DRIFT**2 / (_DRIFT**2 + own_var)
    squares = max(0.0, yy - (2 * kept - kept**2) * slope * xy)
    return _Line(sums.w, mean, kept * slope, _DRIFT**2 * (1 - kept), squares)


def _noise_var(square: float, count: float, lap: float) -> float:
    """Return c^2 from the mean square around lines, and from what is assumed of every training.

    Args:
        square: Mean square of the rates around the lines.
        count: Number of laps.
        lap: Mean length of a lap.
    """
    independent = _effective(count)
    mean = (_PRIOR_LAPS * _NOISE**2 + independent * square) / (_PRIOR_LAPS + independent)
    noise_var: float = mean * lap ** (2 - 2 * _MEMORY)
    return noise_var


def _effective(count: float) -> float:
    """Return the number of independent laps that determine the mean as well as some with long memory."""
    effective: float = count ** (2 - 2 * _MEMORY)
    return effective


def _lasting(before: _Line, since: _Line, laps: int) -> float:
    """Return the probability that a change lasts: it was seen in many laps, and is not too large."""
    if since.length >= before.length / 2:
        return 1.0
    least = _LEAST_LEVEL * max(before.mean, since.mean)
    size_ln = math.log(max(since.mean, least) / max(before.mean, least)) if least > 0 else 0.0
    odds = laps * math.exp(-0.5 * (size_ln / _CHANGE_SIZE_LN) ** 2)
    return odds / (1.0 + odds)


def _typical_rate(laps: list[Lap]) -> float:
    """Return the median rate of the laps, weighted by length; their mean where that is 0."""
    half, done = sum(lap.length for lap in laps) / 2, 0.0
    for rate, length in sorted((lap.amount / lap.length, lap.length) for lap in laps):
        done += length
        if done >= half and rate > 0:
            return rate
    return sum(lap.amount for lap in laps) / (2 * half)


def _joined(one: Lap, other: Lap) -> Lap:
    length = one.length + other.length
    middle = (one.middle * one.length + other.middle * other.length) / length
    return Lap(middle, length, one.amount + other.amount)
