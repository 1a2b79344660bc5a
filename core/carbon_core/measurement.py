"""What was measured in a run, or in a window of one, as figures without their intervals."""

from __future__ import annotations

from carbon_core import uncertainty, units
from carbon_core.lazy_property import lazy_property
from carbon_core.methods import Method
from carbon_core.record import record
from carbon_core.records import COMPONENTS, Component, IntensityShare, Window
from carbon_core.run_facts import RunFacts


@record(frozen=True)
class Measurement:
    """The energy of a run, and the grid intensities that apply to it.

    Attributes:
        run: Facts known at the start.
        status: One of `report.STATUSES`.
        ended_at: ISO time in UTC of the last instant that is counted.
        window: The whole run; energy of the hardware, without the facility's overhead.
        intensities: Grid intensities, each with its part of the energy.
    """

    run: RunFacts
    status: str
    ended_at: str
    window: Window
    intensities: tuple[IntensityShare, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length of the run in seconds."""
        return self.window.duration_s

    @property
    def provisional(self) -> bool:
        """Whether it is extrapolated because a reading is late: a later report has the final totals."""
        return self.window.provisional

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Names of the devices that were found and gave no reading; the totals are without them."""
        return tuple(device.name for device in uncertainty.unread(self.window))

    @property
    def joules_by_method(self) -> dict[Method, float]:
        """Joules of the hardware by the method that gave them."""
        return uncertainty.joules_by_method(self.window)

    @property
    def hardware_kwh(self) -> float:
        """Energy of the hardware in kWh, without the facility's overhead (PUE)."""
        return units.kwh(self.window.joules)

    @lazy_property
    def _kwh(self) -> float:
        """Energy in kWh, times PUE; without its interval, which takes five times as long."""
        return units.kwh(self.window.joules) * self.run.pue

    @lazy_property
    def _kg(self) -> float:
        """Emissions in kg CO2e, without their interval."""
        return sum(share.grams for share in self.intensities) / units.GRAMS_PER_KG

    @property
    def intensity_g_per_kwh(self) -> float:
        """Mean grams of CO2e per kWh of the run."""
        if self._kwh <= 0:
            return self.intensities[-1].intensity.g_per_kwh if self.intensities else 0.0
        return self._kg * units.GRAMS_PER_KG / self._kwh

    @property
    def power_w(self) -> float:
        """Mean power in watts, times PUE."""
        return self.window.power_w * self.run.pue

    @property
    def water_l(self) -> float:
        """Litres of water: WUE x energy of the hardware."""
        return units.kwh(self.window.joules) * self.run.wue

    @property
    def shares_by_grade(self) -> dict[str, float]:
        """Share of the joules (0 to 1) by grade, best grade first."""
        return uncertainty.shares_by_grade(self.joules_by_method)

    @property
    def is_estimate(self) -> bool:
        """Whether more than a fifth of the joules come from models rather than meters."""
        return uncertainty.is_estimate(self.joules_by_method)

    @lazy_property
    def components(self) -> tuple[Component, ...]:
        """The components of which anything is known."""
        known = {device.component for device in self.window.end.devices}
        return tuple(component for component in COMPONENTS if component in known)

    def component_kwh(self, component: Component) -> float:
        """Return a component's energy in kWh, times PUE."""
        return units.kwh(self.window.component_j(component)) * self.run.pue

    def component_w(self, component: Component) -> float:
        """Return a component's mean power in watts, times PUE."""
        joules = self.window.component_j(component) * self.run.pue
        return joules / self.duration_s if self.duration_s > 0 else 0.0

    def methods_of(self, component: Component) -> list[str]:
        """Return the names of the methods that measured a component."""
        devices = self.window.end.devices
        names = [str(device.method) for device in devices if device.component == component]
        return list(dict.fromkeys(names))

    @property
    def missing_s(self) -> float:
        """The longest time, over all devices, for which energy was extrapolated, not measured."""
        return max((energy.missing_s for energy in self.window.by_device.values()), default=0.0)

    @property
    def place(self) -> str:
        """The place with the grid intensity of most of the energy."""
        if not self.intensities:
            return "unknown place"
        return max(self.intensities, key=lambda share: share.joules).intensity.place

    @property
    def energy_sigmas_ln(self) -> uncertainty.Sigmas:
        """Systematic and random standard deviation of ln(reported / true) of the energy."""
        return uncertainty.sigmas_of(self.window.by_device, self.duration_s)

    @property
    def intensity_sigma_ln(self) -> float:
        """One standard deviation of ln(used / true) of the mean grid intensity."""
        return uncertainty.intensity_sigma_ln(self.intensities, self.duration_s, self.run.year)
