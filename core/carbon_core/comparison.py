"""Whether one set of runs draws more than another, and how sure that is.

The logarithms of the runs' figures are compared (a ratio, not a difference, is what a gain error of a
meter leaves alone). Runs that were measured by the same meters on the same hardware share their
systematic error, which cancels; otherwise both count in full. Where there are several runs on both
sides, what they differ by among themselves is added (Welch's interval); with one, nobody knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, variance
from typing import NamedTuple

from carbon_core.errors import CarbonError
from carbon_core.outputs.history import PastRun
from carbon_core.uncertainty import FLOOR_SIGMA_LN, Z_95, t_975


class Comparison(NamedTuple):
    """How the runs B compare with the runs A.

    Attributes:
        a: Geometric mean of A.
        b: Geometric mean of B.
        change: B / A - 1.
        low: Low end of its 95 % interval.
        high: High end.
        same_meters: Whether all were measured alike, so that the meters' own errors cancel.
        spread_known: Whether both sides have several runs, so that their differences count.
    """

    a: float
    b: float
    change: float
    low: float
    high: float
    same_meters: bool
    spread_known: bool


def compare(
    a: Sequence[PastRun], b: Sequence[PastRun], figure: Callable[[PastRun], float]
) -> Comparison:
    """Compare two sets of runs.

    Args:
        a: The runs that are compared with.
        b: The others.
        figure: What of each run, such as its energy in kWh.

    Raises:
        CarbonError: A side has no run with a figure above 0.
    """
    logs_a, logs_b = _logs(a, figure), _logs(b, figure)
    same = len({run.meters for run in (*a, *b)}) == 1 and a[0].meters != ()
    measuring = math.hypot(_sigma(a, same=same), _sigma(b, same=same))
    known = len(logs_a) > 1 and len(logs_b) > 1
    spread, factor = _welch(logs_a, logs_b) if known else (0.0, Z_95)
    change = fmean(logs_b) - fmean(logs_a)
    reach = math.hypot(Z_95 * measuring, factor * spread)
    return Comparison(
        math.exp(fmean(logs_a)),
        math.exp(fmean(logs_b)),
        math.expm1(change),
        math.expm1(change - reach),
        math.expm1(change + reach),
        same,
        known,
    )


def _logs(runs: Sequence[PastRun], figure: Callable[[PastRun], float]) -> list[float]:
    values = [figure(run) for run in runs]
    if not values or min(values) <= 0:
        raise CarbonError("only runs that drew something can be compared")
    return [math.log(value) for value in values]


def _sigma(runs: Sequence[PastRun], *, same: bool) -> float:
    """Return the standard deviation of the mean logarithm, as far as the meters are to blame."""
    sigmas = [run.sigmas_ln for run in runs]
    if any(one is None for one in sigmas):
        return FLOOR_SIGMA_LN  # nobody said; no meter is better
    random = math.hypot(*(one.random for one in sigmas if one)) / len(runs)
    if same:
        return random
    return max(FLOOR_SIGMA_LN, math.hypot(random, max(one.systematic for one in sigmas if one)))


def _welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of a difference of means, and the quantile that it is taken times."""
    parts = [variance(logs) / len(logs) for logs in (one, other)]
    total = sum(parts)
    if total == 0:
        return 0.0, Z_95
    freedom = total**2 / sum(part**2 / (len(logs) - 1) for part, logs in zip(parts, (one, other)))
    return math.sqrt(total), t_975(max(1, math.floor(freedom)))
