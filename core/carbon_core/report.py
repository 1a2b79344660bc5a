"""Results of a run: plain data, from which every output is written and a journal is rebuilt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from carbon_core import uncertainty, units
from carbon_core.formatting import html_table, summary
from carbon_core.lazy_property import lazy_property
from carbon_core.limits import Amount, Count, Factor, NotNegative, RunId, Seconds, Time
from carbon_core.methods import Method
from carbon_core.record import field, record, replace
from carbon_core.records import (
    COMPONENTS,
    NO_TRACE,
    Amounts,
    Component,
    Device,
    Estimate,
    HostFacts,
    HourEnergy,
    IntensityShare,
    Marginal,
    Refusal,
    Segment,
    TraceData,
    Utilization,
    Window,
)

# ``pruned``: Optuna ended the trial early. A killed run is ``interrupted``.
STATUSES = ("running", "completed", "failed", "interrupted", "pruned")
NOT_METERED = (
    "power supply losses, fans, mainboard, disks and network are not metered; "
    "neither is cooling, unless pue is set"
)


@record(frozen=True)
class RunFacts:
    """Facts of a run that are available when it starts.

    Attributes:
        run_id: A UUID; a restart of the tracker begins another run.
        project_name: The setting.
        started_at: ISO time in UTC.
        package_version: Version of this package.
        python_version: Version of Python.
        os: Name of the operating system.
        rank: Rank within the job.
        country_name: Name of the country, also where it is a guess; an empty string if unknown. The
            place of the intensity, which may be a part of it, is that of the `Intensity`.
        country_iso_code: Its three-letter code, or an empty string.
        region: State or province as CodeCarbon writes it, or an empty string.
        cloud_provider: Cloud provider such as ``aws``, or an empty string.
        cloud_region: Its region such as ``eu-west-3``, or an empty string.
        tracking_mode: The setting.
        experiment_id: The setting, or None.
        pue: Power usage effectiveness.
        wue: Water usage effectiveness in litres per kWh of the hardware.
        settings: All settings, secrets hidden.
        origins: Where the settings came from that are not defaults.
        settings_not_used: Settings that were given and have no effect yet.
        told: Services that receive its results, in parts or at its end.
        phases_synced: Whether the accelerator's queue was synchronised where a phase ended; None where
            that is unknown.
        trial: The trial of a search that the run belongs to, or None.
    """

    run_id: RunId
    project_name: str
    started_at: Time
    package_version: str
    python_version: str
    os: str
    rank: Count = 0
    country_name: str = ""
    country_iso_code: str = ""
    region: str = ""
    cloud_provider: str = ""
    cloud_region: str = ""
    tracking_mode: str = "machine"
    experiment_id: str | None = None
    pue: Factor = 1.0
    wue: NotNegative = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    settings_not_used: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    phases_synced: bool | None = None
    trial: str | None = None

    @property
    def year(self) -> int | None:
        """Year in which the run began, in UTC; None if unknown."""
        return int(self.started_at[:4]) if self.started_at[:4].isdecimal() else None


@record(frozen=True)
class Phase:
    """A phase's part of a run: seconds, joules and how often it was entered."""

    name: str
    duration_s: Seconds
    joules: Amount
    count: Count


@record(frozen=True)
class Provenance:
    """How sure a run's totals are, and what they leave out.

    Attributes:
        energy_kwh: Energy with its 95 % interval, times PUE.
        emissions_kg: Emissions in kg CO2e with their 95 % interval.
        share_by_grade: Share of the joules (0 to 1) by grade, best grade first.
        is_estimate: Whether more than a fifth of the joules come from models.
        missing_s: Longest time, over all devices, that was extrapolated instead of measured.
        is_known: Whether any device gave a reading; if not, energy and emissions are unknown, and their
            0 here means nothing.
        shared: Notes on devices that others use, too, or that are counted as a whole; the low ends of
            the intervals exclude what may be others'.
        not_metered: Hardware that no figure includes, as text.
    """

    energy_kwh: Estimate
    emissions_kg: Estimate
    share_by_grade: Mapping[str, float]
    is_estimate: bool
    missing_s: float
    shared: tuple[str, ...] = ()
    not_metered: str = NOT_METERED
    is_known: bool = True


@record(frozen=True)
class Report:
    """The totals of a run, finished or not.

    Attributes:
        run: Facts known at the start.
        status: One of `STATUSES`.
        ended_at: ISO time in UTC of the last instant that is counted.
        window: The whole run; energy of the hardware, without the facility's overhead.
        intensities: Grid intensities, each with its part of the energy.
        phases: The parts that the run was marked into; they add up to the window.
        marginal: Marginal intensity during the run, if it was requested; not part of its emissions.
        hours: The hours of the wall clock that the run went through; they add up to it, too.
        others: Segments of the other ranks of the training, as far as they are known.
        earlier: The segments that this run continues: a training that was interrupted and resumed.
        tasks: The tasks that were stopped so far, each in the shape of a whole run.
        host: The machine.
        refusals: Meters that were tried and not used.
        utilization: Mean loads.
        trace: Trace data since the previous heartbeat; only where the journal gets it.
        counted_elsewhere: Whether other processes count every device, so that the energy is 0.
    """

    run: RunFacts
    status: str
    ended_at: str
    window: Window
    intensities: tuple[IntensityShare, ...] = ()
    phases: tuple[Phase, ...] = ()
    hours: tuple[HourEnergy, ...] = ()
    others: tuple[Segment, ...] = ()
    earlier: tuple[Segment, ...] = ()
    tasks: tuple[tuple[str, Report], ...] = ()
    marginal: Marginal | None = None
    host: HostFacts = field(default_factory=HostFacts)
    refusals: tuple[Refusal, ...] = ()
    utilization: Utilization = field(default_factory=Utilization)
    trace: TraceData = NO_TRACE
    counted_elsewhere: bool = False

    @property
    def duration_s(self) -> float:
        """Length of the run in seconds."""
        return self.window.duration_s

    @property
    def provisional(self) -> bool:
        """Whether it is extrapolated because a reading is late: a later report has the final totals."""
        return self.window.provisional

    @lazy_property
    def is_known(self) -> bool:
        """Whether any device gave a reading; if not, the energy is unknown.

        The figures of such a report are 0 and mean nothing: no output contains them.
        """
        return self.counted_elsewhere or uncertainty.is_known(self.window)

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Names of the devices that were found and gave no reading; the totals are without them."""
        return tuple(device.name for device in uncertainty.unread(self.window))

    @property
    def joules_by_method(self) -> dict[Method, float]:
        """Joules of the hardware by the method that gave them."""
        return uncertainty.joules_by_method(self.window)

    @property
    def energy_kwh(self) -> Estimate:
        """Energy in kWh with its 95 % interval, times PUE."""
        return uncertainty.interval(self._kwh, self.energy_sigmas_ln.total, self.foreign_share)

    @property
    def hardware_kwh(self) -> float:
        """Energy of the hardware in kWh, without the facility's overhead (PUE)."""
        return units.kwh(self.window.joules)

    @property
    def net_kwh(self) -> float | None:
        """Energy in kWh above the machine's idle draw, times PUE; None without a baseline.

        A device below its baseline counts as zero.
        """
        net_j = self.window.above_idle_j(self.host.idle_w) if self.is_known else None
        return None if net_j is None else units.kwh(net_j) * self.run.pue

    @property
    def provenance(self) -> Provenance:
        """How sure the totals are."""
        totals = self.energy_kwh, self.emissions_kg, self.shares_by_grade
        quality = self.is_estimate, self.missing_s, self.shared
        return Provenance(*(*totals, *quality), is_known=self.is_known)

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions in kg CO2e with their 95 % interval: energy and intensity together."""
        intensity = uncertainty.intensity_sigma_ln(self.intensities, self.duration_s, self.run.year)
        sigma_ln = math.hypot(self.energy_sigmas_ln.total, intensity)
        return uncertainty.interval(self._kg, sigma_ln, self.foreign_share)

    @lazy_property
    def _kwh(self) -> float:
        """Energy in kWh, times PUE; without its interval, which takes five times as long."""
        return units.kwh(self.window.joules) * self.run.pue

    @lazy_property
    def _kg(self) -> float:
        """Emissions in kg CO2e, without their interval."""
        return sum(share.grams for share in self.intensities) / units.GRAMS_PER_KG

    @property
    def metrics(self) -> dict[str, float]:
        """The figures under their metric names; none where nothing is measured.

        Only components of which anything is known have a figure: an unknown energy is not 0.
        """
        if not self.components or not self.is_known:
            return {}
        measured: list[Component] = [name for name in self.components if self.measures(name)]
        return {
            "energy_kwh": self._kwh,
            "emissions_kg": self._kg,
            "power_w": self.power_w,
            "carbon_intensity_g_per_kwh": self.intensity_g_per_kwh,
            **{f"{name}_energy_kwh": self.component_kwh(name) for name in measured},
        }

    @property
    def amounts(self) -> Amounts:
        """The figures that add up; the difference of two of them is the part in between."""
        return Amounts(
            self.duration_s,
            self._kwh,
            self._kg,
            self.component_kwh("cpu"),
            self.component_kwh("gpu"),
            self.component_kwh("ram"),
            self.water_l,
        )

    @property
    def segment(self) -> Segment:
        """This run as a part of its training."""
        run = self.run
        return Segment(run.run_id, run.started_at, self.duration_s, self._kwh, self._kg)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All segments of the training: earlier ones, those of other ranks, and this run."""
        return (*self.earlier, *self.others, self.segment)

    @property
    def training_kwh(self) -> float:
        """Energy in kWh of the whole training, over all segments and ranks, times PUE."""
        return sum(segment.energy_kwh for segment in self.segments)

    @property
    def training_kg(self) -> float:
        """Emissions in kg CO2e of the whole training, over all segments and ranks."""
        return sum(segment.emissions_kg for segment in self.segments)

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

    def measures(self, component: Component) -> bool:
        """Return whether a component's energy is known: it has no device, or one gave a reading."""
        return self.is_known and uncertainty.measures(self.window, component)

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
    def shared(self) -> tuple[str, ...]:
        """Notes on devices that others use, too, or that are counted as a whole."""
        return _sharing_notes(self.window.end.devices, self.utilization.gpu_least_share)

    @property
    def foreign_share(self) -> float:
        """Share of the joules (0 to 1) that may be other users'."""
        return uncertainty.foreign_share(self.window, self.utilization.gpu_least_share)

    def stretched(self, duration_s: float) -> Report:
        """Return this report as if its energy had taken some time: the intervals of a longer run.

        Args:
            duration_s: That time in seconds.
        """
        start = self.window.start
        end = replace(self.window.end, t_ns=start.t_ns + units.nanoseconds(duration_s))
        return replace(self, window=end - start)

    def summary(self) -> str:
        """Return the run as one line of text."""
        return summary(self)

    def _repr_html_(self) -> str:
        """Return the run as a small table, which notebooks show where a report ends a cell."""
        return html_table(self)

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


def of_window(whole: Report, window: Window, intensities: tuple[IntensityShare, ...]) -> Report:
    """Return the totals of a window in the shape of a whole run.

    Args:
        whole: The run, at the end of the window or later.
        window: A window of it.
        intensities: Grid intensities, each with its part of the window's energy.
    """
    return replace(
        whole,
        window=window,
        intensities=intensities,
        phases=(),
        hours=(),
        others=(),
        earlier=(),
        tasks=(),
    )


def _sharing_notes(devices: Sequence[Device], least_shares: Mapping[str, float]) -> tuple[str, ...]:
    notes = [f"{device.name}: {device.note}" for device in devices if device.note]
    notes += [
        f"{device.name}: processes of others ran on it; at least {least_shares[device.id]:.0%} of its "
        "work was this run's"
        for device in devices
        if device.id in least_shares
    ]
    return tuple(notes)
