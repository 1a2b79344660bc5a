"""From methods to a 95 % interval, shares by grade and a word about coverage.

Errors are combined to first order in the logarithm. Within one method they are taken as fully
correlated over time and devices (a gain error does not average out), between methods as
independent. No interval is narrower than the 5 % of the worst grade-A sensor, but for the part of the
energy that the user has calibrated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from carbon_core import intensity_spread
from carbon_core.limits import SigmaLn
from carbon_core.methods import EXTRAPOLATED, Method
from carbon_core.records import (
    Component,
    Device,
    Energy,
    Estimate,
    IntensityShare,
    Segment,
    Window,
)

Z_95 = 1.959964
# Key of errors that are independent between windows and runs: those of their ends.
RANDOM = "window ends"
# Of a part whose errors are not known, where there is no other part: that of grade E.
_UNKNOWN_SIGMA_LN = math.log(2.0)
# The limit of `limits.SigmaLn`; a larger exponent may overflow.
_WIDEST_LN = 10.0
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
        """Both together, at most what files may have."""
        return min(_WIDEST_LN, math.hypot(*self))


def sigmas_of(energies: Mapping[Device, Energy], duration_s: float) -> Sigmas:
    """Return the standard deviations of the sum of some devices' joules.

    Extrapolated joules have the gain error of the device's method, and their own spread on top of it.

    Args:
        energies: The devices with their energy: all of a window's, or some.
        duration_s: Length of the window in seconds.
    """
    total_j = sum(max(0.0, energy.joules) for energy in energies.values())
    if total_j <= 0:
        return Sigmas(0.0, 0.0)
    systematic = math.hypot(*systematic_sd_j(energies).values()) / total_j
    # Again, exactly: the sum of what was widened is rounded.
    systematic = max(systematic, FLOOR_SIGMA_LN * (_uncalibrated_j(energies) / total_j))
    random = _random_sd_j(energies, duration_s) / total_j
    return Sigmas(min(systematic, _WIDEST_LN), min(random, _WIDEST_LN))


def errors_j(energies: Mapping[Device, Energy], duration_s: float) -> dict[str, float]:
    """Return the standard deviations of `systematic_sd_j`, and that of the ends under `RANDOM`."""
    random_j = _random_sd_j(energies, duration_s)
    return {**systematic_sd_j(energies), **({RANDOM: random_j} if random_j > 0 else {})}


def part_sigma_ln(energies: Mapping[Device, Energy], duration_s: float, joules: float) -> float:
    """Return one standard deviation of ln(reported / true) of a part of a window, such as an hour.

    It has the gain errors of the whole, and the ends of its own, whose joules do not depend on the
    length. What was extrapolated may be within it.

    Args:
        energies: The devices with their energy in the whole window.
        duration_s: Length of the window in seconds.
        joules: Joules of the part.
    """
    total_j = sum(max(0.0, energy.joules) for energy in energies.values())
    if total_j <= 0 or joules <= 0:
        return 0.0
    errors = errors_j(energies, duration_s)
    most = {EXTRAPOLATED.name: EXTRAPOLATED.sigma_ln, RANDOM: 1.0}
    found = (
        min(most[name], sd_j / joules) if name in most else sd_j / total_j
        for name, sd_j in errors.items()
    )
    return min(_WIDEST_LN, math.hypot(*found))


def _random_sd_j(energies: Mapping[Device, Energy], duration_s: float) -> float:
    edges: dict[str, float] = defaultdict(float)
    for device, energy in energies.items():
        edges[device.method.name] += max(0.0, energy.joules) * _edge(device.method, duration_s)
    return math.hypot(*edges.values())


def systematic_sd_j(energies: Mapping[Device, Energy]) -> dict[str, float]:
    """Return the standard deviation in joules that each source of errors causes, by its name.

    Errors of one name are fully correlated, also with those of other windows and runs; those of
    different names are independent. None is as small together as to be below the 5 % of the worst
    grade-A sensor, but for devices that the user has calibrated.
    """
    found: dict[str, float] = defaultdict(float)
    total_j = 0.0
    for device, energy in energies.items():
        joules, method = max(0.0, energy.joules), device.method
        total_j += joules
        found[method.name] += joules * method.sigma_ln
        found[EXTRAPOLATED.name] += _extrapolated_sd_j(energy)
    found[EXTRAPOLATED.name] = min(total_j, found[EXTRAPOLATED.name])
    together_j, floor_j = math.hypot(*found.values()), FLOOR_SIGMA_LN * _uncalibrated_j(energies)
    widening = max(1.0, floor_j / together_j) if together_j > 0 else 1.0
    return {name: sd_j * widening for name, sd_j in found.items() if sd_j > 0}


def _uncalibrated_j(energies: Mapping[Device, Energy]) -> float:
    uncalibrated = (one for device, one in energies.items() if device.method.calibration is None)
    return sum(max(0.0, energy.joules) for energy in uncalibrated)


def _extrapolated_sd_j(energy: Energy) -> float:
    """Return the standard deviation of a device's extrapolated joules.

    Both are below 0 in a window in which a counter delivered what was extrapolated before it: it is as
    uncertain as that was, in the other direction.
    """
    most_j = abs(energy.extrapolated_j) * EXTRAPOLATED.sigma_ln
    return min(most_j, abs(energy.extrapolated_sd_j) or most_j)


def extrapolated_sigma_ln(energies: Sequence[Energy]) -> float:
    """Return the part of the standard deviation of ln(reported / true) that is due to extrapolation."""
    total_j = sum(max(0.0, energy.joules) for energy in energies)
    return sum(map(_extrapolated_sd_j, energies)) / total_j if total_j > 0 else 0.0


def _edge(method: Method, duration_s: float) -> float:
    return min(1.0, method.edge_s / duration_s) if duration_s > 0 else 0.0


def interval(value: float, sigma_ln: float, foreign_share: float = 0.0) -> Estimate:
    """Return a value with its 95 % interval: value x exp(± 1.96 sigma).

    Args:
        value: The figure.
        sigma_ln: One standard deviation of ln(reported / true).
        foreign_share: Share of the value (0 to 1) that may be other users'; it lowers the low end only.
    """
    if value <= 0:  # rounding may leave a difference a little below 0
        return Estimate(value, value, value)
    factor = math.exp(Z_95 * min(sigma_ln, _WIDEST_LN))
    return Estimate(value, value * (1.0 - foreign_share) / factor, value * factor)


def sigma_and_foreign_share(estimate: Estimate) -> tuple[float, float]:
    """Return the standard deviation and the foreign share that `interval` made an estimate from."""
    if estimate.value <= 0:
        return 0.0, 0.0
    up = estimate.high / estimate.value
    return math.log(up) / Z_95, max(0.0, 1.0 - estimate.low / estimate.value * up)


def above(
    value_j: float,
    energies: Mapping[Device, Energy],
    less_j: Mapping[str, float],
    foreign_j: float = 0.0,
) -> Estimate:
    """Return joules above others that the same meters have measured before, with their interval.

    The errors of both count in joules, not in per cent of the difference, which may be small.

    Args:
        value_j: The difference.
        energies: The devices with their energy.
        less_j: The joules that were subtracted, by `Device.id`.
        foreign_j: Joules that may be other users'; they lower the low end only.
    """
    # A device that two methods have read one after the other is subtracted once, by the last of them.
    last = {device.id: device for device in energies}
    lesser = {device: Energy(less_j[name]) for name, device in last.items() if name in less_j}
    errors = (*systematic_sd_j(energies).values(), *systematic_sd_j(lesser).values())
    half_j = Z_95 * math.hypot(*errors)
    return Estimate(value_j, max(0.0, value_j - half_j - foreign_j), value_j + half_j)


def energy_of_segments(segments: Iterable[Segment]) -> Estimate:
    """Return the energy in kWh of a training, over its runs and ranks, with its interval."""
    total = Sum()
    for one in segments:
        total.add(one.energy_kwh, one.energy_sd_kwh, one.foreign_kwh)
    return total.estimate


def emissions_of_segments(segments: Iterable[Segment]) -> Estimate:
    """Return the emissions in kg of a training, over its runs and ranks, with their interval."""
    total = Sum()
    for one in segments:
        total.add(*emissions_with_errors(one))
    return total.estimate


def emissions_with_errors(segment: Segment) -> tuple[float, Mapping[str, float] | None, float]:
    """Return the emissions of a segment in kg, as `Sum.add` takes them."""
    kwh, kg, errors = segment.energy_kwh, max(0.0, segment.emissions_kg), segment.energy_sd_kwh
    if errors is not None:
        of_energy = {name: kg * _part(sd, kwh, _WIDEST_LN) for name, sd in errors.items()}
        errors = {**of_energy, **{f"of {k}": sd for k, sd in segment.intensity_sd_kg.items()}}
    return segment.emissions_kg, errors, kg * _part(segment.foreign_kwh, kwh, 1.0)


def _part(value: float, whole: float, most: float) -> float:
    """Return a value by the whole; files may have an energy so small that this overflows."""
    return min(most, value / whole) if whole > 0 else 0.0


class Sum:
    """A sum with its interval: errors of one name are correlated, but for those of ends.

    Its size does not depend on the number of summands. A part without known errors has the same relative
    error as the others together.
    """

    __slots__ = ("_errors", "_foreign", "_known", "_total")

    def __init__(self) -> None:
        self._total = self._known = self._foreign = 0.0
        self._errors: dict[str, float] = defaultdict(float)

    def add(self, value: float, errors: Mapping[str, float] | None, foreign: float) -> None:
        """Add a summand.

        Args:
            value: The summand.
            errors: Its standard deviations by name; None where these are not known.
            foreign: What may be other users' of it.
        """
        self._total += value
        self._foreign += foreign
        if errors is None:
            return
        self._known += value
        for name, sd in errors.items():
            before = self._errors[name]
            self._errors[name] = math.hypot(before, sd) if name == RANDOM else before + sd

    @property
    def estimate(self) -> Estimate:
        """The sum."""
        total, known = self._total, self._known
        if total <= 0:
            return Estimate(total, total, total)
        sigma_ln = math.hypot(*self._errors.values()) / known if known > 0 else _UNKNOWN_SIGMA_LN
        return interval(total, sigma_ln, min(1.0, self._foreign / total))


def foreign_share(energies: Mapping[Device, Energy], least_shares: Mapping[str, float]) -> float:
    """Return the share of some devices' joules (0 to 1) that may be other users'.

    Args:
        energies: The devices with their energy.
        least_shares: Least share (0 to 1) that is the run's own, by `Device.id`, where others were seen.
    """
    total_j = sum(energy.joules for energy in energies.values())
    if total_j <= 0:
        return 0.0
    foreign_j = sum(
        energy.joules * (1.0 - min(device.least_share, least_shares.get(device.id, 1.0)))
        for device, energy in energies.items()
    )
    return min(1.0, max(0.0, foreign_j / total_j))


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
