"""How far the grid intensity of a run may be from the annual average that is used for it.

An annual average differs in two ways. The hours of a run are not the whole year: the shorter the run
and the larger the low-carbon share, the more they differ, because wind, sun and water vary while the
rest of the mix emits much more. And the year of the figure is not that of the run. The constants are
fitted to hourly data of thirteen zones and to annual figures of 350 by `tools/fit_intensity_spread.py`.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from carbon_core.record import replace
from carbon_core.records import Intensity

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
# Length of a run in seconds; slope and constant of sigma_ln as a line over the low-carbon share.
POINTS = (
    (_HOUR_S, 0.70, -0.02),
    (_DAY_S, 0.52, -0.06),
    (7 * _DAY_S, 0.43, -0.06),
    (30 * _DAY_S, 0.36, -0.05),
    (365 * _DAY_S, 0.0, 0.0),
)
# Even the hours of a grid without low-carbon power differ.
LEAST = 0.03
# The same line for one year's average and the next one's; it grows with the root of the years.
YEARLY_SLOPE, YEARLY_CONSTANT = 0.28, 0.01
# The annual figures are of eleven years; a larger difference is rather a wrong clock.
_MOST_YEARS = 10
# Life-cycle emissions of what is not low-carbon, a mix of coal and gas.
_REST_G_PER_KWH = 750.0


class Spread(NamedTuple):
    """Standard deviations of ln(used / true) of an intensity, independent of each other.

    Attributes:
        of_figure: The same for all runs with this figure.
        of_hours: Of the hours of the run; of an annual average only.
    """

    of_figure: float
    of_hours: float


def spread(intensity: Intensity, duration_s: float, year: int | None = None) -> Spread:
    """Return the uncertainty of an intensity for a run.

    Args:
        intensity: The intensity that is used.
        duration_s: Length of the run, or of its part with this intensity, in seconds.
        year: Year of the run; None if unknown, for that after the figure's.
    """
    share = intensity.low_carbon_share
    if share is None:  # exact, live, or written by an older version
        return Spread(intensity.sigma_ln, 0.0)
    yearly = (YEARLY_SLOPE * share + YEARLY_CONSTANT) * math.sqrt(_years_between(intensity, year))
    return Spread(math.hypot(intensity.sigma_ln, yearly), within_year(share, duration_s))


def _years_between(intensity: Intensity, year: int | None) -> int:
    if intensity.year is None:
        return 0
    return 1 if year is None else min(abs(year - intensity.year), _MOST_YEARS)


def within_year(low_carbon_share: float, duration_s: float) -> float:
    """Return one standard deviation of ln(mean over a run / mean of its year).

    Args:
        low_carbon_share: Low-carbon share (0 to 1) of the electricity in that year.
        duration_s: Length of the run in seconds; hours are the shortest that is known.
    """
    sigmas = [max(LEAST, slope * low_carbon_share + constant) for _, slope, constant in POINTS[:-1]]
    ends = [*zip((length_s for length_s, *_ in POINTS), (*sigmas, 0.0))]
    for (from_s, before), (to_s, after) in pairwise(ends):
        if duration_s <= to_s:
            part = max(0.0, math.log(max(duration_s, _HOUR_S) / from_s) / math.log(to_s / from_s))
            return before + (after - before) * part
    return 0.0


def of_other_hours(intensity: Intensity) -> Intensity:
    """Return an intensity for hours that are not its own: a live value varies as an average does."""
    if intensity.kind != "live":
        return intensity
    return replace(intensity, low_carbon_share=likely_low_carbon_share(intensity.g_per_kwh))


def likely_low_carbon_share(g_per_kwh: float) -> float:
    """Return the low-carbon share (0 to 1) that an annual average suggests where no table has it."""
    return max(0.0, 1.0 - g_per_kwh / _REST_G_PER_KWH)
