"""Compares the energy or emissions of two sets of runs, with a 95 % interval of their ratio.

The logarithms of the values are compared, because a meter's gain error cancels in a ratio, not in a
difference. Runs that were measured by the same methods on the same hardware have the same systematic
error, which cancels, but for what was extrapolated and for the difference between boards of one model;
otherwise the errors of both sides are included.
This also applies to the grid intensity of emissions, except that an annual average differs from the
hours of each run. With several runs on both sides, the variance between runs is included (Welch's
interval); with one run, it is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, variance
from typing import NamedTuple

from carbon_core.errors import CarbonError
from carbon_core.outputs.history import PastRun
from carbon_core.records import Estimate
from carbon_core.uncertainty import FLOOR_SIGMA_LN, Z_95, t_975

_LARGEST_EXPONENT = 700.0
# Gain errors of three boards of one model differ by so much (RTX 3090; Yang et al., SC'24).
_UNIT_SIGMA_LN = 0.02
# A factor of two; and the smallest change that runs are counted for.
_TOO_WIDE_LN, LEAST_CHANGE_LN = math.log(2.0), math.log(1.02)
_LEAST_RUNS, MOST_RUNS = 3, 1000


class Comparison(NamedTuple):
    """Result of comparing the runs B with the runs A.

    Attributes:
        a: Geometric mean of A.
        b: Geometric mean of B.
        change: B / A - 1.
        low: Low end of the 95 % interval of the change.
        high: High end of it.
        same_meters: Whether all runs have the same hardware and methods, so that systematic errors
            cancel.
        spread_known: Whether both sides have several runs, so that their variance is included.
        n_a: Number of runs of A.
        n_b: Number of runs of B.
        too_few_runs: Whether the runs are too few for an interval that includes their variation: one run
            on a side, or an interval with both no change and more than a factor of two that more runs
            would make narrower.
        runs_needed: Number of runs per side whose interval would exclude no change, if the change were
            the one that was found or 2 %, at most `MOST_RUNS`; None if these runs are enough, or if the
            errors of the meters include it however many runs there are.
    """

    a: float
    b: float
    change: float
    low: float
    high: float
    same_meters: bool
    spread_known: bool
    n_a: int = 1
    n_b: int = 1
    too_few_runs: bool = True
    runs_needed: int | None = None

    @property
    def ratio(self) -> Estimate:
        """B / A with its 95 % interval."""
        return Estimate(self.change + 1.0, self.low + 1.0, self.high + 1.0)


def compare(
    a: Sequence[PastRun],
    b: Sequence[PastRun],
    value_of: Callable[[PastRun], float],
    *,
    with_grid: bool = False,
    with_meters: bool = True,
) -> Comparison:
    """Compare two sets of runs.

    Args:
        a: The baseline runs.
        b: The other runs.
        value_of: Returns the value of a run that is compared, such as its energy in kWh.
        with_grid: Whether the value depends on the grid intensity, whose uncertainty is included then.
        with_meters: Whether the value depends on meters, whose errors are included then; a duration does
            not.

    Raises:
        CarbonError: A side has no runs, or a run whose value is not above 0.
    """
    logs_a, logs_b = _logs(a, value_of), _logs(b, value_of)
    same_meters = len({run.meters for run in (*a, *b)}) == 1 and a[0].meters != ()
    same_devices = len({run.devices for run in (*a, *b)}) == 1
    measured = (
        _UNIT_SIGMA_LN * math.sqrt(2.0) if same_meters and not same_devices else 0.0,
        _sigma(a, same_meters=same_meters),
        _sigma(b, same_meters=same_meters),
    )
    measurement_sigma_ln = math.hypot(
        *(measured if with_meters else ()), *(_grid_sigmas(a, b) if with_grid else ())
    )
    spread_known = len(logs_a) > 1 and len(logs_b) > 1
    sampling_error, quantile = _welch(logs_a, logs_b) if spread_known else (0.0, Z_95)
    change = fmean(logs_b) - fmean(logs_a)
    half_width = math.hypot(Z_95 * measurement_sigma_ln, quantile * sampling_error)
    is_enough = spread_known and half_width < max(abs(change), LEAST_CHANGE_LN)
    needed = None
    if not is_enough:
        needed = _runs_needed(logs_a, logs_b, change, Z_95 * measurement_sigma_ln)
    return Comparison(
        math.exp(fmean(logs_a)),
        math.exp(fmean(logs_b)),
        _expm1(change),
        _expm1(change - half_width),
        _expm1(change + half_width),
        same_meters,
        spread_known,
        len(logs_a),
        len(logs_b),
        too_few_runs=not spread_known or (needed is not None and half_width > _TOO_WIDE_LN),
        runs_needed=needed,
    )


def _runs_needed(
    logs_a: Sequence[float], logs_b: Sequence[float], change: float, measurement_half_width: float
) -> int | None:
    """Return the least number of runs per side whose interval would exclude no change."""
    if len(logs_a) < 2 or len(logs_b) < 2:
        return _LEAST_RUNS
    target = max(abs(change), LEAST_CHANGE_LN)
    spread = math.sqrt((variance(logs_a) + variance(logs_b)) / 2.0)
    if measurement_half_width >= target:
        return None
    for n in range(max(_LEAST_RUNS, min(len(logs_a), len(logs_b)) + 1), MOST_RUNS):
        sampling = t_975(2 * n - 2) * spread * math.sqrt(2.0 / n)
        if math.hypot(measurement_half_width, sampling) < target:
            return n
    return MOST_RUNS


def _expm1(exponent: float) -> float:
    """Return exp(exponent) - 1; of a ratio that no float can hold, the largest one."""
    return math.expm1(min(exponent, _LARGEST_EXPONENT))


def _logs(runs: Sequence[PastRun], value_of: Callable[[PastRun], float]) -> list[float]:
    values = [value_of(run) for run in runs]
    if not values or min(values) <= 0:
        raise CarbonError("only runs with values above 0 can be compared")
    return [math.log(value) for value in values]


def _sigma(runs: Sequence[PastRun], *, same_meters: bool) -> float:
    """Return the standard deviation of the mean logarithm that is due to measurement errors."""
    sigmas = [run.sigmas_ln for run in runs]
    if any(one is None for one in sigmas):
        return FLOOR_SIGMA_LN  # unknown; no meter is more accurate
    random = math.hypot(*(one.random for one in sigmas if one)) / len(runs)
    if same_meters:
        return math.hypot(random, *(run.extrapolated_sigma_ln / len(runs) for run in runs))
    # That of a calibrated run has the floor already, for what is not calibrated.
    is_calibrated = any(".calibrated" in meter for run in runs for meter in run.meters)
    floor = 0.0 if is_calibrated else FLOOR_SIGMA_LN
    return max(floor, math.hypot(random, max(one.systematic for one in sigmas if one)))


def _grid_sigmas(a: Sequence[PastRun], b: Sequence[PastRun]) -> Iterator[float]:
    """Yield the standard deviations of the mean logarithm that are due to the grid intensities.

    The error of a figure that all runs have in common cancels; that of their hours does not.
    """
    same_grid = len({run.grid for run in (*a, *b)}) == 1
    for runs in (a, b):
        sigmas = [run.grid_sigmas_ln for run in runs]
        yield math.hypot(*(one.random for one in sigmas)) / len(runs)
        if not same_grid:
            yield max(one.systematic for one in sigmas)


def _welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the standard error of a difference of means, and the quantile of its distribution."""
    parts = [variance(logs) / len(logs) for logs in (one, other)]
    total = sum(parts)
    if total == 0:
        return 0.0, Z_95
    degrees_of_freedom = total**2 / sum(
        part**2 / (len(logs) - 1) for part, logs in zip(parts, (one, other))
    )
    return math.sqrt(total), t_975(max(1, math.floor(degrees_of_freedom)))
