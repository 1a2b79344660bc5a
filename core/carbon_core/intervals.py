"""The figures of a report with their 95 % intervals, but for its totals, which `Report` itself has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from carbon_core import uncertainty, units
from carbon_core.records import Component, Device, Energy, Estimate, HourEnergy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from carbon_core.report import Report
    from carbon_core.run_facts import Phase

_HOUR_S = 3600.0


def in_quadrature(estimate: Estimate, low: float, high: float) -> Estimate:
    """Return an estimate whose interval has another, independent error, too: logarithms in quadrature.

    Args:
        estimate: The value with the interval of the first error.
        low: Lower end of the interval of the other error, divided by its value.
        high: Upper end of it, divided by its value.
    """
    value = estimate.value
    if value <= 0:
        return estimate
    below = _hypotenuse(estimate.low / value, low)
    above = _hypotenuse(estimate.high / value, high)
    return Estimate(value, value / below, value * above)


def _hypotenuse(one: float, other: float) -> float:
    """Return the factor (1 or more) of two independent factors."""
    logs = [abs(math.log(factor)) if factor > 0 else math.inf for factor in (one, other)]
    return math.exp(math.hypot(*logs)) if math.inf not in logs else math.inf


class Errors(NamedTuple):
    """The errors of a run's totals, as a `Segment` has them."""

    energy_sd_kwh: Mapping[str, float] | None
    intensity_sd_kg: Mapping[str, float]
    foreign_kwh: float


def errors_of(energy: Estimate, emissions: Estimate, method: str, place: str) -> Errors:
    """Return the errors of totals whose intervals are known, as in receipts of older versions.

    Args:
        energy: Energy in kWh.
        emissions: Emissions in kg CO2e.
        method: Name of the method that the errors of the energy are attributed to.
        place: Place of the grid intensity.
    """
    sigma_ln, foreign_share = uncertainty.sigma_and_foreign_share(energy)
    together_ln, _ = uncertainty.sigma_and_foreign_share(emissions)
    intensity_ln = math.sqrt(max(0.0, together_ln**2 - sigma_ln**2))
    return Errors(
        {method: energy.value * sigma_ln},
        {place: emissions.value * intensity_ln} if emissions.value > 0 else {},
        energy.value * foreign_share,
    )


class Intervals:
    """Figures of a report with their 95 % intervals. Energies are in kWh, times PUE.

    Args:
        report: The report.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kwh_per_j = units.kwh(1.0) * report.run.pue

    def component_kwh(self, component: Component) -> Estimate:
        """Return the energy of a component; its errors are those of its own devices only."""
        every = self._report.window.by_device.items()
        devices = {one: energy for one, energy in every if one.component == component}
        return self._of_devices(self._report.component_kwh(component), devices)

    def device_kwh(self, device: Device) -> Estimate:
        """Return the energy of a device by one method."""
        energy = self._report.window.by_device[device]
        return self._of_devices(max(0.0, energy.joules) * self._kwh_per_j, {device: energy})

    def _of_devices(self, kwh: float, devices: Mapping[Device, Energy]) -> Estimate:
        report = self._report
        sigma_ln = uncertainty.sigmas_of(devices, report.duration_s).total
        foreign = uncertainty.foreign_share(devices, report.utilization.gpu_least_share)
        return uncertainty.interval(kwh, sigma_ln, foreign)

    def hour(self, hour: HourEnergy) -> tuple[Estimate, Estimate]:
        """Return the energy of the hardware in kWh and the emissions in kg CO2e of an hour."""
        report = self._report
        devices, duration_s = report.window.by_device, report.duration_s
        sigma_ln = uncertainty.part_sigma_ln(devices, duration_s, hour.joules)
        hour_s = min(_HOUR_S, duration_s)
        of_grid = uncertainty.intensity_sigma_ln(report.intensities, hour_s, report.run.year)
        foreign, kg = report.foreign_share, max(0.0, hour.grams) / units.GRAMS_PER_KG
        return (
            uncertainty.interval(units.kwh(max(0.0, hour.joules)), sigma_ln, foreign),
            uncertainty.interval(kg, math.hypot(sigma_ln, of_grid), foreign),
        )

    def phase_kwh(self, phase: Phase) -> Estimate:
        """Return the energy of a phase; without errors of its own, it has those of the run."""
        report, sigma_ln = self._report, phase.sigma_ln
        if sigma_ln is None:
            sigma_ln = report.energy_sigmas_ln.total
        return uncertainty.interval(
            max(0.0, phase.joules) * self._kwh_per_j, sigma_ln, report.foreign_share
        )

    @property
    def net_kwh(self) -> Estimate | None:
        """Energy above the machine's idle power; None without a baseline, or where it is unknown.

        A device below its baseline counts as zero.
        """
        report = self._report
        window, idle_w = report.window, report.host.idle_w
        net_j = window.above_idle_j(idle_w) if report.is_known else None
        if net_j is None:
            return None
        idle_j = {name: watts * window.duration_s for name, watts in idle_w.items()}
        foreign_j = report.foreign_share * max(0.0, window.joules)
        found = uncertainty.above(net_j, window.by_device, idle_j, foreign_j)
        return found.scaled(self._kwh_per_j)

    @property
    def training_kwh(self) -> Estimate:
        """Energy of the whole training, over all segments and ranks."""
        return uncertainty.energy_of_segments(self._report.segments)

    @property
    def training_kg(self) -> Estimate:
        """Emissions in kg CO2e of the whole training, over all segments and ranks."""
        return uncertainty.emissions_of_segments(self._report.segments)

    @property
    def errors(self) -> Errors:
        """The errors of the totals by their causes, for the sum with other runs and ranks."""
        report = self._report
        if not report.is_known:
            return Errors({}, {}, 0.0)
        energy = uncertainty.errors_j(report.window.by_device, report.duration_s)
        kg = max(0.0, sum(share.grams for share in report.intensities) / units.GRAMS_PER_KG)
        intensity_kg = kg * report.intensity_sigma_ln
        return Errors(
            {name: sd_j * self._kwh_per_j for name, sd_j in energy.items()},
            {report.place: intensity_kg} if intensity_kg > 0 else {},
            report.foreign_share * max(0.0, report.window.joules) * self._kwh_per_j,
        )
