"""The records that the parts hand to each other: immutable, with units in their names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from operator import add, sub
from typing import Literal, NamedTuple

from carbon_core import units
from carbon_core.lazy_property import lazy_property
from carbon_core.limits import (
    Amount,
    Count,
    NotNegative,
    Positive,
    RunId,
    Seconds,
    Share,
    SigmaLn,
    Time,
)
from carbon_core.methods import Method
from carbon_core.record import field, record

Component = Literal["cpu", "gpu", "ram"]
COMPONENTS: tuple[Component, ...] = ("cpu", "gpu", "ram")


@record(frozen=True)
class Device:
    """One piece of hardware that a meter reads, and how.

    Attributes:
        id: Unique within a machine, and stable; twice in a run where the method has changed.
        component: The column of the results that the device counts towards.
        name: Its product name.
        method: How its joules become known.
        kind: ``counter`` when readings are cumulative joules, ``power`` when they are watts.
        wrap_j: Range of a counter that wraps, in joules; None for one that never does.
        max_power_w: No real device of this kind draws more; a faster rise is refused.
        max_gap_s: Longest time between two power readings that may be bridged by a straight line.
        still_s: Seconds for which a counter may show one value; after that it is broken, because a
            device with power always adds to its counter. None where it may add nothing.
        least_share: Share of the energy (0 to 1) that is surely the run's own; less than 1 where others
            use the device, too, and no meter distinguishes them.
        note: A limitation of the measurement, or an empty string.
    """

    id: str
    component: Component
    name: str
    method: Method
    kind: Literal["counter", "power"] = "counter"
    wrap_j: Positive | None = None
    max_power_w: Positive = 5000.0
    max_gap_s: Positive = 5.0
    still_s: Positive | None = None
    least_share: Share = 1.0
    note: str = ""


class Reading(NamedTuple):
    """One device's value at one instant.

    Attributes:
        device_id: The `Device.id` that was read.
        t_ns: Monotonic time of the value, in nanoseconds.
        value: Joules or watts, by `Device.kind`; None when the read failed.
        share: Fraction of the energy since the previous reading that counts; None for as before.
        power_w: Power in watts by a fallback while a counter gives no value, or None.
    """

    device_id: str
    t_ns: int
    value: float | None
    share: float | None = None
    power_w: float | None = None


class Energy(NamedTuple):
    """One device's energy, cumulative or over a window.

    Attributes:
        measured_j: Joules that the device's own method gave.
        extrapolated_j: Joules extrapolated while nothing could be read, and not delivered since. Below
            0 in a window in which a counter delivered what was extrapolated before; `measured_j` is
            then larger by that.
        missing_s: Seconds for which nothing could be read, delivered since or not.
        extrapolated_sd_j: Standard deviation of the extrapolated joules; adds up as they do. 0 where it
            is not known, as in older files.
    """

    measured_j: Amount = 0.0
    extrapolated_j: Amount = 0.0
    missing_s: Seconds = 0.0
    extrapolated_sd_j: Amount = 0.0

    @property
    def joules(self) -> float:
        """Best estimate in joules: measured and extrapolated."""
        return self.measured_j + self.extrapolated_j

    def plus(self, other: Energy) -> Energy:
        """Return the sum with another energy of the device."""
        return Energy(*map(add, self, other))


NO_ENERGY = Energy()


@record(frozen=True)
class Snapshot:
    """The ledger at an instant: cumulative joules by device.

    Attributes:
        t_ns: Monotonic time in nanoseconds.
        devices: The devices known at that time; later snapshots of a run only ever append.
        energies: Cumulative energy since the run began, in the order of `devices`.
        provisional: Whether it was extrapolated because its reading is late: it is corrected then.
    """

    t_ns: int
    devices: tuple[Device, ...] = ()
    energies: tuple[Energy, ...] = ()
    provisional: bool = False

    @property
    def joules(self) -> float:
        """Cumulative joules of all devices."""
        return sum(e.measured_j + e.extrapolated_j for e in self.energies)

    def __sub__(self, earlier: Snapshot) -> Window:
        return Window(earlier, self)


@record(frozen=True)
class Window:
    """The difference of two snapshots of one run: a phase, an epoch, a task, or the whole run."""

    start: Snapshot
    end: Snapshot

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return units.seconds(self.end.t_ns - self.start.t_ns)

    @lazy_property
    def joules(self) -> float:
        """Joules of all devices within the window."""
        return self.end.joules - self.start.joules

    @property
    def provisional(self) -> bool:
        """Whether it is extrapolated because a reading is late: corrected once that arrives."""
        return self.start.provisional or self.end.provisional

    @property
    def power_w(self) -> float:
        """Mean power in watts: energy by duration, so that the three always agree."""
        return self.joules / self.duration_s if self.duration_s > 0 else 0.0

    @lazy_property
    def by_device(self) -> Mapping[Device, Energy]:
        """Each device's energy within the window."""
        pairs = zip_longest(self.end.energies, self.start.energies, fillvalue=NO_ENERGY)
        latest = {device.id: device for device in self.end.devices}
        return {
            device: Energy(*map(sub, end, start))
            for device, (end, start) in zip(self.end.devices, pairs)
            # Of a device that a better method reads since, nothing is left within the window.
            if end != start or latest[device.id] is device
        }

    @lazy_property
    def by_component(self) -> Mapping[Component, float]:
        """Joules of each component that has a device."""
        joules: dict[Component, float] = {}
        for device, energy in self.by_device.items():
            joules[device.component] = joules.get(device.component, 0.0) + energy.joules
        return joules

    def above_idle_j(self, idle_w: Mapping[str, float]) -> float | None:
        """Return the joules above an idle draw; None where it is known for no device.

        Args:
            idle_w: Idle draw in watts by `Device.id`. A device below its own counts as zero.
        """
        joules: dict[str, float] = {}
        for device, energy in self.by_device.items():
            joules[device.id] = joules.get(device.id, 0.0) + energy.joules
        if not any(name in idle_w for name in joules):
            return None
        return sum(
            max(0.0, of_device_j - idle_w.get(name, 0.0) * self.duration_s)
            for name, of_device_j in joules.items()
        )

    def component_j(self, component: Component) -> float:
        """Return the joules of one component (``cpu``, ``gpu`` or ``ram``)."""
        return self.by_component.get(component, 0.0)


class Estimate(NamedTuple):
    """A figure with its 95 % interval, all three in the same unit."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """Return the estimate in another unit, `factor` of which make one of this."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


# Ends the place of an intensity that nothing but the time zone suggests.
GUESSED = " (guessed)"


@record(frozen=True)
class Intensity:
    """Greenhouse gas emissions per kilowatt-hour of a place, and the source of the figure.

    Attributes:
        g_per_kwh: Grams of CO2-equivalent per kilowatt-hour of electricity.
        place: Place that the figure describes, such as ``France``, ``California`` or ``world``.
        source: Its publisher.
        kind: ``live``, ``annual`` average, ``world`` average, or the ``user``'s own value.
        scope: ``lifecycle`` or ``direct`` emissions; None when the user's own value leaves it open.
        sigma_ln: One standard deviation of ln(used / true) for a run at that place; with a low-carbon
            share, without what depends on the run's length and year (`intensity_spread`).
        year: The year of an annual average.
        time: ISO time of a live value.
        note: A limitation, such as how the place was determined.
        accounting: Whether what is generated (``production``) or what is used (``consumption``) at the
            place is averaged; None where that is unknown.
        licence: Licence of the figure, or an empty string.
        low_carbon_share: Low-carbon share (0 to 1) of the place's electricity, on which the variation
            within a year depends; None for a figure of the run's own hours, or one that is exact.
    """

    g_per_kwh: NotNegative
    place: str
    source: str
    kind: Literal["live", "annual", "world", "user"]
    scope: Literal["lifecycle", "direct"] | None
    sigma_ln: SigmaLn
    year: int | None = None
    time: str | None = None
    note: str = ""
    accounting: Literal["production", "consumption"] | None = None
    licence: str = ""
    low_carbon_share: Share | None = None


class IntensityShare(NamedTuple):
    """The part of a run's energy that one kind of intensity applies to.

    Attributes:
        intensity: The latest value of that kind.
        joules: Energy of the hardware.
        grams: CO2e of that energy, with the facility's overhead.
    """

    intensity: Intensity
    joules: Amount
    grams: Amount


class Marginal(NamedTuple):
    """What one more kilowatt-hour would have caused during a run; no part of its emissions.

    Attributes:
        g_per_kwh: Mean over the run in gCO2/kWh; may be below zero.
        place: The source's name of the region.
        source: Its publisher.
    """

    g_per_kwh: float
    place: str
    source: str


class HourEnergy(NamedTuple):
    """The energy of a run within one hour of the wall clock.

    Attributes:
        start: Beginning of the hour, ISO time in UTC.
        joules: Energy of the hardware.
        grams: CO2e of that energy, with the facility's overhead.
    """

    start: Time
    joules: Amount
    grams: Amount


class Curve(NamedTuple):
    """One device's cumulative energy over the time of a run.

    Attributes:
        device: Its number among the run's devices.
        t_s: Seconds since the run began, ascending.
        joules: Joules up to then.
    """

    device: Count
    t_s: list[Seconds]
    joules: list[Amount]


class TraceData(NamedTuple):
    """Trace data between two heartbeats of a run, for plots; no total depends on it.

    Attributes:
        readings: Readings in between, by device.
        phases: When a phase began, in seconds since the run did, and its name.
        windows: Windows that closed: name, beginning and end in seconds.
    """

    readings: tuple[Curve, ...] = ()
    phases: tuple[tuple[Seconds, str], ...] = ()
    windows: tuple[tuple[str, Seconds, Seconds], ...] = ()


NO_TRACE = TraceData()


class Segment(NamedTuple):
    """One process's part of a training: a restart begins the next, each rank has its own.

    Attributes:
        run_id: UUID of the run that measured it.
        started_at: ISO time in UTC.
        duration_s: Length in seconds.
        energy_kwh: Energy in kWh, times PUE.
        emissions_kg: Emissions in kg CO2e.
        energy_sd_kwh: Standard deviations of the energy in kWh, by what causes them; errors with one
            name are correlated between segments. None in segments of older versions.
        intensity_sd_kg: Those of the emissions in kg that the grid intensity causes, by its place.
        foreign_kwh: Energy in kWh that may be other users'.
    """

    run_id: RunId
    started_at: Time
    duration_s: Seconds
    energy_kwh: Amount
    emissions_kg: Amount
    energy_sd_kwh: Mapping[str, NotNegative] | None = None
    intensity_sd_kg: Mapping[str, NotNegative] = {}
    foreign_kwh: NotNegative = 0.0


class Amounts(NamedTuple):
    """The additive totals of a run; energies are times PUE."""

    duration_s: float = 0.0
    energy_kwh: float = 0.0
    emissions_kg: float = 0.0
    cpu_energy_kwh: float = 0.0
    gpu_energy_kwh: float = 0.0
    ram_energy_kwh: float = 0.0
    water_l: float = 0.0

    def plus(self, more: Amounts) -> Amounts:
        """Return both together."""
        return Amounts(*(a + b for a, b in zip(self, more)))

    def minus(self, less: Amounts) -> Amounts:
        """Return what remains without a part."""
        return Amounts(*(a - b for a, b in zip(self, less)))


@record(frozen=True)
class Refusal:
    """A meter that was tried and is not used.

    Attributes:
        meter: Name of the meter, such as ``rapl``.
        component: The component it would have measured.
        reason: What was found.
        remedy: What would make it work, or an empty string.
    """

    meter: str
    component: Component
    reason: str
    remedy: str = ""


@record(frozen=True)
class HostFacts:
    """Facts about the machine; None where unknown.

    Attributes:
        cpu_model: Name as the operating system gives it.
        cpu_count: Logical processors.
        ram_total_gb: Memory in GiB.
        gpu_models: Names of the GPUs counted.
        facts: Further facts by name.
        idle_w: The machine's idle draw in watts by `Device.id`, where it was measured once.
    """

    cpu_model: str | None = None
    cpu_count: Count | None = None
    ram_total_gb: NotNegative | None = None
    gpu_models: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    idle_w: Mapping[str, NotNegative] = field(default_factory=dict)


@record(frozen=True)
class Utilization:
    """Mean load over a run, in percent, and memory used; None where it is not known.

    Attributes:
        gpu_least_share: Least share (0 to 1) of each GPU's work that is the run's own, by `Device.id`,
            for those on which processes of others were seen.
    """

    cpu_percent: float | None = None
    gpu_percent: float | None = None
    ram_percent: float | None = None
    ram_used_gb: float | None = None
    gpu_least_share: Mapping[str, Share] = field(default_factory=dict)
