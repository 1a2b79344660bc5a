"""Results of a run: plain data, from which every output is written and a journal is rebuilt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from carbon_core import intensity_spread, node_energy, uncertainty, units
from carbon_core.intervals import Intervals
from carbon_core.lazy_property import lazy_property
from carbon_core.measurement import Measurement
from carbon_core.record import field, record, replace
from carbon_core.records import (
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
from carbon_core.report_text import headline, rows_of, summary
from carbon_core.request_totals import Requests
from carbon_core.run_facts import NOT_METERED, Phase, Provenance, RunFacts, Work
from carbon_core.trials import TrialResult

__all__ = ["NOT_METERED", "STATUSES", "Phase", "Provenance", "Report", "RunFacts", "of_window"]

# ``pruned``: Optuna ended the trial early. A killed run is ``interrupted``.
STATUSES = ("running", "completed", "failed", "interrupted", "pruned")


@record(frozen=True, repr=False)
class Report(Measurement):
    """The totals of a run, finished or not: a `Measurement` and what belongs to it.

    Attributes:
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
        logged_metrics: Last values of the metrics that the training logged, such as ``val_loss``.
        trials: The trials of a study that the run measures.
        requests: The requests that were counted during the run; None where none were.
        work: Steps, samples and tokens of the training.
        dataset_samples: Samples of its data set, each counted once; None if unknown.
    """

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
    logged_metrics: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[TrialResult, ...] = ()
    requests: Requests | None = None
    work: Work = Work()
    dataset_samples: float | None = None

    @lazy_property
    def is_known(self) -> bool:
        """Whether any device gave a reading; if not, the figures are unknown, and 0 here."""
        return self.counted_elsewhere or uncertainty.is_known(self.window)

    @property
    def energy_kwh(self) -> Estimate:
        """Energy in kWh with its 95 % interval, times PUE."""
        return uncertainty.interval(self._kwh, self.energy_sigmas_ln.total, self.foreign_share)

    @property
    def intervals(self) -> Intervals:
        """The other figures with their 95 % intervals: components, phases, net energy, all segments."""
        return Intervals(self)

    @property
    def node_energy_kwh(self) -> Estimate | None:
        """Energy of the whole machine at the wall in kWh, an estimate beside `energy_kwh`, or None."""
        found = node_energy.of_report(self)
        return found.kwh if found else None

    @property
    def net_kwh(self) -> float | None:
        """Energy in kWh above the machine's idle power, times PUE; None without a baseline."""
        net = self.intervals.net_kwh
        return None if net is None else net.value

    @property
    def provenance(self) -> Provenance:
        """How sure the totals are."""
        totals = self.energy_kwh, self.emissions_kg, self.shares_by_grade
        quality = self.is_estimate, self.missing_s, self.shared
        return Provenance(*(*totals, *quality), is_known=self.is_known)

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions in kg CO2e with their 95 % interval: energy and intensity together."""
        sigma_ln = math.hypot(self.energy_sigmas_ln.total, self.intensity_sigma_ln)
        return uncertainty.interval(self._kg, sigma_ln, self.foreign_share)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures under their metric names, of what is measured: an unknown energy is not 0."""
        if not self.components or not self.is_known:
            return {}
        measured: list[Component] = [name for name in self.components if self.measures(name)]
        return {
            "energy_kwh": self._kwh,
            "emissions_kg": self._kg,
            "power_w": self.power_w,
            "intensity_g_per_kwh": self.intensity_g_per_kwh,
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

    @lazy_property
    def segment(self) -> Segment:
        """This run as a part of its training."""
        run = self.run
        totals = self.duration_s, self._kwh, self._kg
        return Segment(run.run_id, run.started_at, *totals, *self.intervals.errors)

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

    def measures(self, component: Component) -> bool:
        """Return whether a component's energy is known: it has no device, or one gave a reading."""
        return self.is_known and uncertainty.measures(self.window, component)

    @property
    def shared(self) -> tuple[str, ...]:
        """Notes on devices that others use, too, or that are counted as a whole."""
        return _sharing_notes(self.window.end.devices, self.utilization.gpu_least_share)

    @property
    def foreign_share(self) -> float:
        """Share of the joules (0 to 1) that may be other users'."""
        return uncertainty.foreign_share(self.window.by_device, self.utilization.gpu_least_share)

    def stretched(self, duration_s: float) -> Report:
        """Return this report as if its energy had taken some time: the intervals of a longer run.

        Args:
            duration_s: That time in seconds; live intensities are not known for what it is longer.
        """
        start = self.window.start
        end = replace(self.window.end, t_ns=start.t_ns + units.nanoseconds(duration_s))
        known = min(1.0, self.duration_s / duration_s) if duration_s > 0 else 1.0
        shares = (part for one in self.intensities for part in _split(one, known))
        return replace(self, window=end - start, intensities=tuple(shares))

    def summary(self) -> str:
        """Return the run as one line of text."""
        return summary(self)

    def _repr_html_(self) -> str | None:
        """Return the run as a small table, which notebooks show where a report ends a cell."""
        from carbon_core.notebook import html_of

        return html_of(self, lambda: rows_of(self))

    def __repr__(self) -> str:
        from carbon_core.notebook import line_of

        return line_of(self, lambda: headline(self))


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
        requests=None,
    )


def _split(share: IntensityShare, known: float) -> tuple[IntensityShare, ...]:
    """Return a live intensity in two parts: for its own hours, and for those to come."""
    later = intensity_spread.of_other_hours(share.intensity)
    if later is share.intensity or known >= 1.0:
        return (share,)
    own = share._replace(joules=share.joules * known, grams=share.grams * known)
    return own, IntensityShare(later, share.joules - own.joules, share.grams - own.grams)


def _sharing_notes(devices: Sequence[Device], least_shares: Mapping[str, float]) -> tuple[str, ...]:
    notes = [f"{device.name}: {device.note}" for device in devices if device.note]
    notes += [
        f"{device.name}: processes of others ran on it; at least {least_shares[device.id]:.0%} of its "
        "work was this run's"
        for device in devices
        if device.id in least_shares
    ]
    return tuple(notes)
