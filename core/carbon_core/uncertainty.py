"""From methods to a 95 % interval, shares by grade and a word about coverage.

Errors are combined to first order in the logarithm. Within one method they are taken as fully
correlated over time and devices (a gain error does not average out), between methods as
independent. No interval is narrower than the 5 % of the worst grade-A sensor.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from carbon_core import intensity_spread
from carbon_core.limits import SigmaLn
from carbon_core.methods import EXTRAPOLATED, Method
from carbon_core.records import Component, Device, Energy, Estimate, IntensityShare, Window

Z_95 = 1.959964
FLOOR_SIGMA_LN = 0.05
ESTIMATE_SHARE = 0.20
# A device with a longer part of the run missing, and no energy, gave no reading.
_ALL_MISSING = 0.999
# Where the approximation is not good enough.
_T_975 = {1: 12.7062, 2: 4.30265}


def joules_by_method(window: Window) -> dict[Method, float]:
    """Return the window's joules by the method that gave them.

    Within a window, a counter may deliver what was extrapolated before it: of the joules delivered, the
    window has those that no earlier one was given.
    """
    totals: dict[Method, float] = defaultdict(float)
    for device, energy in window.by_device.items():
        totals[device.method] += energy.measured_j + min(0.0, energy.extrapolated_j)
        if energy.extrapolated_j > 0.0:
            totals[EXTRAPOLATED] += energy.extrapolated_j
    return dict(totals)


def is_known(window: Window) -> bool:
    """Return whether any device gave a reading; if not, the energy is unknown, and not 0."""
    return len(unread(window)) < len(window.by_device)


def unread(window: Window) -> tuple[Device, ...]:
    """Return the devices that gave no reading in a window."""
    return tuple(
        device
        for device, energy in window.by_device.items()
        if is_unread(energy, window.duration_s)
    )


def is_unread(energy: Energy, duration_s: float) -> bool:
    """Return whether a device gave no reading in a window of a duration."""
    is_missing = energy.missing_s > _ALL_MISSING * duration_s or duration_s <= 0
    return energy.joules <= 0.0 and is_missing


def measures(window: Window, component: Component) -> bool:
    """Return whether a component has no device, or one that gave a reading in a window."""
    silent = unread(window)
    devices = [one for one in window.by_device if one.component == component]
    return not devices or any(one not in silent for one in devices)


class Sigmas(NamedTuple):
    """Standard deviations of ln(reported / true).

    Attributes:
        systematic: Gain errors, the same in every window of a run.
        random: Of the window's ends; smaller the longer the window.
    """

    systematic: SigmaLn
    random: SigmaLn

    @property
    def total(self) -> float:
        """Both together."""
        return max(FLOOR_SIGMA_LN, math.hypot(*self)) if any(self) else 0.0


def sigmas_of(energies: Mapping[Device, Energy], duration_s: float) -> Sigmas:
    """Return the standard deviations of the sum of some devices' joules.

    Extrapolated joules have the gain error of the device's method, and their own spread on top of it.

    Args:
        energies: The devices with their energy: all of a window's, or some.
        duration_s: Length of the window in seconds.
    """
    by_method: dict[Method, float] = defaultdict(float)
    for device, energy in energies.items():
        by_method[device.method] += max(0.0, energy.joules)
    total_j = sum(by_method.values())
    if total_j <= 0:
        return Sigmas(0.0, 0.0)
    shares = {method: joules / total_j for method, joules in by_method.items()}
    extrapolated = sum(_extrapolated_sd_j(energy) for energy in energies.values()) / total_j
    gains = (share * method.sigma_ln for method, share in shares.items())
    systematic = math.hypot(min(1.0, extrapolated), *gains)
    random = math.hypot(*(share * _edge(method, duration_s) for method, share in shares.items()))
    return Sigmas(systematic, random)


def _extrapolated_sd_j(energy: Energy) -> float:
    """Return the standard deviation of a device's extrapolated joules.

    Both are below 0 in a window in which a counter delivered what was extrapolated before it: it is as
    uncertain as that was, in the other direction.
    """
    most_j = abs(energy.extrapolated_j) * EXTRAPOLATED.sigma_ln
    return min(most_j, abs(energy.extrapolated_sd_j) or most_j)


def _edge(method: Method, duration_s: float) -> float:
    return min(1.0, method.edge_s / duration_s) if duration_s > 0 else 0.0


def interval(value: float, sigma_ln: float, foreign_share: float = 0.0) -> Estimate:
    """Return a value with its 95 % interval: value x exp(± 1.96 sigma).

    Args:
        value: The figure.
        sigma_ln: One standard deviation of ln(reported / true).
        foreign_share: Share of the value (0 to 1) that may be other users'; it lowers the low end only.
    """
    factor = math.exp(Z_95 * sigma_ln)
    return Estimate(value, value * (1.0 - foreign_share) / factor, value * factor)


def foreign_share(window: Window, least_shares: Mapping[str, float]) -> float:
    """Return the share of a window's joules (0 to 1) that may be other users'.

    Args:
        window: The window.
        least_shares: Least share (0 to 1) that is the run's own, by `Device.id`, where others were seen.
    """
    total_j = window.joules
    if total_j <= 0:
        return 0.0
    foreign_j = sum(
        energy.joules * (1.0 - min(device.least_share, least_shares.get(device.id, 1.0)))
        for device, energy in window.by_device.items()
    )
    return foreign_j / total_j


def intensity_sigma_ln(
    intensities: Sequence[IntensityShare], duration_s: float, year: int | None = None
) -> float:
    """Return one standard deviation of ln(used / true) of the mean intensity of a run.

    Args:
        intensities: As for `intensity_sigmas_ln`.
        duration_s: Length of the run, or of the window, in seconds.
        year: Year of the run; None if unknown.
    """
    return math.hypot(*intensity_sigmas_ln(intensities, duration_s, year))


def intensity_sigmas_ln(
    intensities: Sequence[IntensityShare], duration_s: float, year: int | None = None
) -> Sigmas:
    """Return the standard deviations of the mean intensity: of the figures, and of the run's hours.

    Args:
        intensities: Intensities, each with its part of the energy; their errors are taken as correlated.
        duration_s: Length of the run, or of the window, in seconds.
        year: Year of the run; None if unknown.
    """
    total_g = sum(share.grams for share in intensities)
    total_j = sum(share.joules for share in intensities)
    figures, hours = 0.0, 0.0
    for share in intensities:
        # An intensity applies to a part of the run that is about as long as its part of the energy.
        part = share.joules / total_j if total_j > 0 else 1.0
        weight = share.grams / total_g if total_g > 0 else 1.0 / len(intensities)
        spread = intensity_spread.spread(share.intensity, duration_s * part, year)
        figures += weight * spread.of_figure
        hours += weight * spread.of_hours
    return Sigmas(figures, hours)


def shares_by_grade(by_method: dict[Method, float]) -> dict[str, float]:
    """Return the share of the joules (0 to 1) by grade, best grade first."""
    total_j = sum(by_method.values())
    shares: dict[str, float] = defaultdict(float)
    for method, joules in by_method.items():
        shares[method.grade] += joules / total_j if total_j > 0 else 0.0
    # Rounding may leave a sum a little above 1.
    return {grade: min(1.0, share) for grade, share in sorted(shares.items())}


def is_estimate(by_method: dict[Method, float]) -> bool:
    """Return whether more than a fifth of the joules come from models rather than meters."""
    shares = shares_by_grade(by_method)
    return shares.get("D", 0.0) + shares.get("E", 0.0) > ESTIMATE_SHARE


def t_975(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t (from 3 degrees of freedom on by Cornish and Fisher)."""
    if freedom in _T_975:
        return _T_975[freedom]
    z = Z_95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
