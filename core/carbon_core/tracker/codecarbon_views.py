"""Attributes of CodeCarbon's trackers that programs read, as read-only views of the report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from carbon_core import units

if TYPE_CHECKING:
    from carbon_core.records import Component
    from carbon_core.report import Report
    from carbon_core.tracker.codecarbon_quantities import Energy, Power, Water


class CodeCarbonViews:
    """Totals of the current run, or of the last one, under CodeCarbon's names.

    0 before the first reading; NaN where nothing could be measured until the end.
    """

    def report(self) -> Report | None:
        """Return the totals."""
        raise NotImplementedError

    @property
    def _total_energy(self) -> Energy:
        report = self.report()
        return _energy(_or_nan(report.energy_kwh.value, _is_known(report)) if report else 0.0)

    @property
    def _total_cpu_energy(self) -> Energy:
        return self._energy_of("cpu")

    @property
    def _total_gpu_energy(self) -> Energy:
        return self._energy_of("gpu")

    @property
    def _total_ram_energy(self) -> Energy:
        return self._energy_of("ram")

    @property
    def _total_emissions(self) -> float:
        report = self.report()
        return _or_nan(report.emissions_kg.value, _is_known(report)) if report else 0.0

    @property
    def _total_water(self) -> Water:
        from carbon_core.tracker.codecarbon_quantities import Water

        report = self.report()
        return Water(_or_nan(report.water_l, _is_known(report)) if report else 0.0)

    @property
    def _cpu_power(self) -> Power:
        return self._power_of("cpu")

    @property
    def _gpu_power(self) -> Power:
        return self._power_of("gpu")

    @property
    def _ram_power(self) -> Power:
        return self._power_of("ram")

    def _energy_of(self, component: Component) -> Energy:
        report = self.report()
        if report is None:
            return _energy(0.0)
        return _energy(_or_nan(report.component_kwh(component), _is_known(report, component)))

    def _power_of(self, component: Component) -> Power:
        from carbon_core.tracker.codecarbon_quantities import Power

        report = self.report()
        if report is None:
            return Power(0.0)
        watts = _or_nan(report.component_w(component), _is_known(report, component))
        return Power(watts / units.WATTS_PER_KILOWATT)


def _or_nan(figure: float, is_known: bool) -> float:
    return figure if is_known else math.nan


def _is_known(report: Report, component: Component | None = None) -> bool:
    """Return whether a figure is known; while running, all are: programs subtract them."""
    if report.status == "running":
        return True
    return report.is_known if component is None else report.measures(component)


def _energy(kwh: float) -> Energy:
    from carbon_core.tracker.codecarbon_quantities import Energy

    return Energy(kwh)
