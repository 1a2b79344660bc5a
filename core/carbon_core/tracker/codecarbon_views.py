"""Attributes of CodeCarbon's trackers that programs read, as read-only views of the report."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_core import units
from carbon_core.records import Component
from carbon_core.report import Report


@dataclass(frozen=True, order=True)
class Energy:
    """Energy in kWh, with CodeCarbon's name and arithmetic."""

    kWh: float  # noqa: N815 - CodeCarbon's name for it

    def __add__(self, other: Energy) -> Energy:
        return Energy(self.kWh + other.kWh)

    def __sub__(self, other: Energy) -> Energy:
        return Energy(self.kWh - other.kWh)

    def __mul__(self, factor: float) -> Energy:
        return Energy(self.kWh * factor)

    def __truediv__(self, divisor: float) -> Energy:
        return Energy(self.kWh / divisor)

    def __float__(self) -> float:
        return self.kWh


@dataclass(frozen=True, order=True)
class Power:
    """Power in kW, with CodeCarbon's names."""

    kW: float  # noqa: N815 - CodeCarbon's name for it

    @property
    def W(self) -> float:  # noqa: N802 - CodeCarbon's name for it
        """Power in watts."""
        return self.kW * units.WATTS_PER_KILOWATT


@dataclass(frozen=True, order=True)
class Water:
    """Water in litres, with CodeCarbon's name."""

    litres: float


class CodeCarbonViews:
    """Totals of the current run, or of the last one, under CodeCarbon's names; 0 before any."""

    def report(self) -> Report | None:
        """Return the totals."""
        raise NotImplementedError

    @property
    def _total_energy(self) -> Energy:
        report = self.report()
        return Energy(report.energy_kwh.value if report else 0.0)

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
        return report.emissions_kg.value if report else 0.0

    @property
    def _total_water(self) -> Water:
        report = self.report()
        return Water(report.water_l if report else 0.0)

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
        return Energy(report.component_kwh(component) if report else 0.0)

    def _power_of(self, component: Component) -> Power:
        report = self.report()
        watts = report.component_w(component) if report else 0.0
        return Power(watts / units.WATTS_PER_KILOWATT)
