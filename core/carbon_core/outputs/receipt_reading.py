"""Reads receipts of all versions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from carbon_core.decoding import DecodingError, decoded, parsed
from carbon_core.input_files import InputFileError, bytes_of
from carbon_core.intervals import Errors, errors_of
from carbon_core.limits import Amount, Count, Metric, NotNegative, Seconds, Share, Time
from carbon_core.methods import Calibration
from carbon_core.outputs import receipt
from carbon_core.record import field, record, replace
from carbon_core.records import (
    Component,
    Energy,
    Estimate,
    HostFacts,
    Intensity,
    Marginal,
    Refusal,
    Segment,
    Utilization,
)
from carbon_core.report import NOT_METERED, Report, RunFacts
from carbon_core.run_facts import Work
from carbon_core.trials import TrialResult
from carbon_core.uncertainty import Sigmas, is_unread

# exp(1.96 x 10), the limit of `limits.SigmaLn`.
_WIDEST = math.exp(20.0)
TRAINING, EVALUATION = "training", "evaluation"
# Phases of a run of a callback.
_OF_ALL_KINDS = frozenset({"setup", "sanity_check", "checkpoint", "end"})
_OF_EVALUATIONS = frozenset({"validate", "test", "predict", "evaluate"})


@record(frozen=True)
class Interval:
    """A figure with its 95 % interval; None where nothing was measured."""

    value: NotNegative | None
    low_95: NotNegative | None = None
    high_95: NotNegative | None = None

    def __post_init__(self) -> None:
        """Check that the figure is within its interval."""
        value, low, high = self.estimate
        if not low <= value <= high <= value * _WIDEST:
            raise ValueError("must be an interval around its value")

    @property
    def estimate(self) -> Estimate:
        """The figure with its interval; 0 where nothing was measured."""
        value = self.value or 0.0
        low, high = (value if end is None else end for end in (self.low_95, self.high_95))
        return Estimate(value, low, high)


@record(frozen=True)
class DeviceEnergy:
    """The energy of a device, and how it was measured; older versions wrote no interval."""

    id: str
    name: str
    component: Component
    method: str
    grade: str
    measured_j: Amount
    extrapolated_j: Amount
    missing_s: Seconds
    least_share: Share = 1.0
    note: str = ""
    extrapolated_sd_j: Amount = 0.0
    calibration: Calibration | None = None
    energy_kwh: Amount | None = None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None

    @property
    def energy(self) -> Energy:
        """The energy as a record."""
        spread_j = self.extrapolated_sd_j
        return Energy(self.measured_j, self.extrapolated_j, self.missing_s, spread_j)

    @property
    def joules(self) -> float:
        """Best estimate in joules."""
        return self.energy.joules


@record(frozen=True, kw_only=True)
class IntensityPart(Intensity):
    """A grid intensity with the energy that it applies to, times PUE, and its emissions."""

    energy_kwh: Amount | None
    emissions_kg: Amount | None


@record(frozen=True)
class PhaseEnergy:
    """A phase with its energy, times PUE; older versions wrote no interval."""

    name: str
    duration_s: Seconds
    count: Count
    energy_kwh: Amount | None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None


class ComponentEnergy(NamedTuple):
    """A component with its energy, times PUE."""

    energy_kwh: Amount | None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None


class TaskEnergy(NamedTuple):
    """A task with its energy, times PUE, and its emissions."""

    name: str
    duration_s: Seconds
    energy_kwh: Amount | None
    energy_low_kwh: Amount | None
    energy_high_kwh: Amount | None
    emissions_kg: Amount | None
    emissions_low_kg: Amount | None
    emissions_high_kg: Amount | None


class Hour(NamedTuple):
    """The energy of the hardware within an hour of the wall clock; older versions wrote no interval."""

    start: Time
    hardware_energy_kwh: Amount
    emissions_kg: Amount
    hardware_energy_low_kwh: Amount | None = None
    hardware_energy_high_kwh: Amount | None = None
    emissions_low_kg: Amount | None = None
    emissions_high_kg: Amount | None = None


class CounterEnergy(NamedTuple):
    """A counter of requests with their energy, times PUE."""

    name: str
    completed: Count
    failed: Count
    unfinished: Count
    tokens: Count
    energy_kwh: Amount | None
    energy_low_kwh: Amount | None
    energy_high_kwh: Amount | None
    failed_energy_kwh: Amount | None
    failed_energy_low_kwh: Amount | None
    failed_energy_high_kwh: Amount | None
    unfinished_energy_kwh: Amount | None
    unfinished_energy_low_kwh: Amount | None
    unfinished_energy_high_kwh: Amount | None
    energy_per_request_kwh: Amount | None
    energy_per_request_low_kwh: Amount | None
    energy_per_request_high_kwh: Amount | None
    energy_per_token_kwh: Amount | None
    energy_per_token_low_kwh: Amount | None
    energy_per_token_high_kwh: Amount | None


class RequestsEnergy(NamedTuple):
    """The requests of a run, and the energy while none was open."""

    duration_s: Seconds
    idle_s: Seconds
    idle_energy_kwh: Amount | None
    idle_energy_low_kwh: Amount | None
    idle_energy_high_kwh: Amount | None
    counters: tuple[CounterEnergy, ...]


class Training(NamedTuple):
    """The totals of a training, over all runs and ranks."""

    energy_kwh: Amount | None
    emissions_kg: Amount | None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None
    emissions_low_kg: Amount | None = None
    emissions_high_kg: Amount | None = None


_UNKNOWN_SIGMAS = Sigmas(0.0, 0.0)


@record(frozen=True)
class Receipt:
    """The content of a receipt, as `carbon_core.outputs.receipt.receipt` describes it.

    Figures of a run in which nothing was measured are None.
    """

    run: RunFacts
    status: str
    ended_at: Time
    duration_s: Seconds
    energy_kwh: Interval
    emissions_kg: Interval
    hardware_energy_kwh: Amount | None
    energy_sigma_ln: Sigmas = _UNKNOWN_SIGMAS
    net_energy_kwh: Amount | None = None
    net_energy_low_kwh: Amount | None = None
    net_energy_high_kwh: Amount | None = None
    node_energy_kwh: Amount | None = None
    node_energy_low_kwh: Amount | None = None
    node_energy_high_kwh: Amount | None = None
    node_energy_basis: str | None = None
    energy_sd_kwh: Mapping[str, NotNegative] | None = None
    intensity_sd_kg: Mapping[str, NotNegative] = field(default_factory=dict)
    foreign_kwh: NotNegative = 0.0
    components: Mapping[Component, ComponentEnergy] = field(default_factory=dict)
    power_w: Amount | None = None
    is_known: bool = True
    is_estimate: bool = False
    share_by_grade: Mapping[str, Share] = field(default_factory=dict)
    devices: tuple[DeviceEnergy, ...] = ()
    not_metered: str = NOT_METERED
    intensity_g_per_kwh: NotNegative = 0.0
    intensities: tuple[IntensityPart, ...] = ()
    earlier_starts: tuple[Segment, ...] = ()
    other_ranks: tuple[Segment, ...] = ()
    training: Training | None = None
    marginal_intensity: Marginal | None = None
    phases: tuple[PhaseEnergy, ...] = ()
    tasks: tuple[TaskEnergy, ...] = ()
    hours: tuple[Hour, ...] = ()
    host: HostFacts = field(default_factory=HostFacts)
    refused_meters: tuple[Refusal, ...] = ()
    utilization: Utilization = field(default_factory=Utilization)
    logged_metrics: Mapping[str, Metric] = field(default_factory=dict)
    trials: tuple[TrialResult, ...] = ()
    requests: RequestsEnergy | None = None
    work: Work = Work()
    dataset_samples: NotNegative | None = None

    def __post_init__(self) -> None:
        """Check that each figure is within its interval, and that only an unknown energy has none."""
        if self.is_known and None in (self.energy_kwh.value, self.emissions_kg.value):
            raise ValueError("energy_kwh and emissions_kg are unknown, but is_known is true")
        for name, (value, low, high) in self._figures():
            if None not in (value, low, high) and not low <= value <= high:
                raise ValueError(f"{name} must have an interval around its value")

    def _figures(self) -> Iterator[tuple[str, tuple[Any, Any, Any]]]:
        """Yield the figures that are no totals of the run, each with the ends of its interval."""
        net, node = "net_energy", "node_energy"
        yield net, (self.net_energy_kwh, self.net_energy_low_kwh, self.net_energy_high_kwh)
        yield node, (self.node_energy_kwh, self.node_energy_low_kwh, self.node_energy_high_kwh)
        several: list[
            ComponentEnergy | DeviceEnergy | PhaseEnergy | TaskEnergy | Training | TrialResult
        ] = [
            *self.components.values(), *self.devices, *self.phases, *self.tasks, *self.trials,
            *filter(None, [self.training]),
        ]  # fmt: skip
        for one in several:
            yield "energy_kwh", (one.energy_kwh, one.energy_low_kwh, one.energy_high_kwh)
            if isinstance(one, (TaskEnergy, Training, TrialResult)):
                emissions = one.emissions_kg, one.emissions_low_kg, one.emissions_high_kg
                yield "emissions_kg", emissions
        if self.requests is not None:
            yield "idle_energy_kwh", self.requests[2:5]
            for counter in self.requests.counters:
                figures: list[Any] = list(counter)
                for i in range(5, len(figures), 3):
                    yield counter._fields[i], (figures[i], figures[i + 1], figures[i + 2])
        for _, kwh, kg, low_kwh, high_kwh, low_kg, high_kg in self.hours:
            yield "hardware_energy_kwh", (kwh, low_kwh, high_kwh)
            yield "emissions_kg", (kg, low_kg, high_kg)

    @property
    def segment(self) -> Segment:
        """The run as a part of its training."""
        energy, emissions = self.energy_kwh.estimate, self.emissions_kg.estimate
        errors = Errors(self.energy_sd_kwh, self.intensity_sd_kg, self.foreign_kwh)
        if self.energy_sd_kwh is None and self.energy_kwh.high_95 is not None:
            # Of several methods, that of most of the energy: it may be correlated with other runs.
            most = max(self.devices, key=lambda one: one.joules, default=None)
            method = most.method if most is not None else "unknown"
            errors = errors_of(energy, emissions, method, self.place)
        totals = self.duration_s, energy.value, emissions.value
        return Segment(self.run.run_id, self.run.started_at, *totals, *errors)

    @property
    def linked(self) -> tuple[Segment, ...]:
        """Segments of other runs of the training."""
        return *self.earlier_starts, *self.other_ranks

    @property
    def kind(self) -> str:
        """``training``, ``evaluation``, or an empty string for a run that is neither, or unknown."""
        names = {phase.name for phase in self.phases}
        if "train" in names:
            return TRAINING
        names -= _OF_ALL_KINDS
        # Only runs of a callback have that; older versions did not write it.
        by_callback = self.run.phases_synced is not None
        return EVALUATION if names and (by_callback or names <= _OF_EVALUATIONS) else ""

    @property
    def place(self) -> str:
        """The place with the grid intensity of most of the energy."""
        if not self.intensities:
            return "unknown place"
        return max(self.intensities, key=lambda one: one.energy_kwh or 0.0).place


@record(frozen=True)
class _Version:
    schema_version: Count = receipt.SCHEMA_VERSION


def read(path: Path) -> Receipt:
    """Read a receipt.

    Raises:
        InputFileError: The file cannot be read, is not a receipt, or is one of a newer schema.
    """
    try:
        data = parsed(bytes_of(path))
        version = decoded(_Version, data).schema_version
        if version > receipt.SCHEMA_VERSION:
            reason = f"its schema ({version}) is newer than this version of carbon-callbacks"
            raise InputFileError(path, reason, may_change=True)
        found = decoded(Receipt, data)
        return found if "is_known" in data else _with_is_known(found)
    except OSError as error:
        raise InputFileError(path, error) from error
    except DecodingError as error:
        raise InputFileError(path, f"is not a receipt of a run: {error}") from error


def _with_is_known(found: Receipt) -> Receipt:
    """Return a receipt of an older version, which wrote 0 for an energy that no device has read."""
    if all(is_unread(one.energy, found.duration_s) for one in found.devices):
        return replace(found, is_known=False)
    return found


def of_report(report: Report) -> Receipt:
    """Return the receipt of a run, such as one that was read from a journal.

    Raises:
        DecodingError: A total of the run is out of range.
    """
    return decoded(Receipt, receipt.receipt(report))
