"""The runs of a disclosure, each once, with what they have in common with others counted once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from carbon_core.outputs.history import Skipped
from carbon_core.records import Estimate
from carbon_core.run_facts import Work

INFERENCE = "inference"


class Place(NamedTuple):
    """A grid intensity that applies to a part of a run's energy.

    Attributes:
        place: Name of the place, such as ``France``, ``California`` or ``world``.
        country_iso_code: Three-letter code of the run's country, or an empty string.
        region: State or province, or an empty string.
        g_per_kwh: Grams of CO2e per kilowatt-hour.
        source: Publisher of the figure.
        year: Year of an annual average; None for other figures.
        scope: ``lifecycle`` or ``direct``; None if unknown.
        energy_kwh: Energy of the run that it applies to, times PUE; the part that no other run counts.
        emissions_kg: Emissions in kg CO2e of that energy.
        kind: ``live``, ``annual``, ``world``, ``user``, or an empty string if unknown.
    """

    place: str
    country_iso_code: str
    region: str
    g_per_kwh: float
    source: str
    year: int | None
    scope: str | None
    energy_kwh: float
    emissions_kg: float
    kind: str = ""


class Hardware(NamedTuple):
    """Hardware of a run.

    Attributes:
        cpu_model: Name of the processor, or an empty string.
        cpu_count: Number of logical processors, or None.
        gpu_models: Names of the GPUs that were counted, one for each.
        memory_gb: Memory of the machine in GiB, or None.
    """

    cpu_model: str = ""
    cpu_count: int | None = None
    gpu_models: tuple[str, ...] = ()
    memory_gb: float | None = None


class Activity(NamedTuple):
    """A run: a training, a restart or rank of it, an evaluation, or anything else that was measured.

    Attributes:
        run_id: Its id; an empty string for a row of a CSV file without one.
        project: Its project for display.
        kind: ``training``, ``evaluation``, ``inference``, or an empty string if unknown.
        status: How it ended, such as ``completed``, ``failed`` or ``interrupted``; ``missing`` for a
            rank or restart that only other runs refer to; an empty string if unknown.
        started_at: ISO time of its begin; an empty string if unknown.
        ended_at: ISO time of its end; an empty string if unknown.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE, that no other run counts; None if unknown.
        emissions_kg: Location-based emissions in kg CO2e of that energy; None if unknown.
        counted: Share of its energy (0 to 1) that no other run counts.
        part_of: Id of the run that counts the rest; an empty string if there is none.
        places: The grid intensities of that energy.
        hardware: Its hardware.
        gpu_hours: Duration times number of GPUs, of the part that no other run counts; None if unknown.
        methods: Methods of measurement.
        share_by_grade: Share of the energy (0 to 1) by grade, best first; empty if unknown.
        work: Steps, samples, tokens and operations of the training in it; of the ranks of a training,
            which all state them, one has them.
        requests: Completed requests that it served; None where none were counted.
        served_tokens: Tokens of these requests; None where none were counted.
        study_id: Its study, or an empty string.
        rank: Its rank within the job; None if unknown.
        package_version: What measured it, such as ``carbon-callbacks 1.0``; an empty string if unknown.
        path: Its file; None for one that is missing.
        has_interval: Whether its uncertainty is known; otherwise both ends equal the value.
        pue: Power usage effectiveness that its energy includes.
        algorithm: Framework, its version and the class of the model, as far as they are known, by the
            names that BoAmps has for them.
        dataset_samples: Samples of the data set of its training, each counted once; None if unknown.
    """

    run_id: str
    project: str
    kind: str
    status: str
    started_at: str
    ended_at: str
    duration_s: float
    energy_kwh: Estimate | None
    emissions_kg: Estimate | None
    counted: float = 1.0
    part_of: str = ""
    places: tuple[Place, ...] = ()
    hardware: Hardware = Hardware()
    gpu_hours: float | None = None
    methods: tuple[str, ...] = ()
    share_by_grade: Mapping[str, float] = {}
    work: Work = Work()
    requests: int | None = None
    served_tokens: int | None = None
    study_id: str = ""
    rank: int | None = None
    package_version: str = ""
    path: Path | None = None
    has_interval: bool = True
    pue: float = 1.0
    algorithm: Mapping[str, str] = {}
    dataset_samples: float | None = None


class Group(NamedTuple):
    """Total of activities, with the errors of one method or place correlated.

    Attributes:
        runs: Number of activities, also of those whose energy another run counts.
        duration_s: Sum of their durations in seconds, of the parts that no other run counts.
        energy_kwh: Energy in kWh, times PUE; None if that of no activity is known.
        emissions_kg: Location-based emissions in kg CO2e; None if unknown.
        unknown: Number of activities without a known energy, which is in no total.
        without_interval: Number of activities that count as exact, because their files have no interval.
        gpu_hours: Sum of the GPU hours; None if unknown of any activity.
    """

    runs: int
    duration_s: float
    energy_kwh: Estimate | None
    emissions_kg: Estimate | None
    unknown: int = 0
    without_interval: int = 0
    gpu_hours: float | None = None


class Disclosed(NamedTuple):
    """The activities of a disclosure and their totals.

    Attributes:
        activities: All runs, in the order of their begins.
        total: Total of all of them.
        by_kind: Totals by `Activity.kind`.
        by_status: Totals by `Activity.status`.
        wall_clock_s: Time in which at least one of them was running, in seconds.
        skipped: Files that could not be read, each with the reason.
        project: The project that was selected, or an empty string.
        study: The study that was selected, or an empty string.
        training_wall_clock_s: The same, of the activities that are neither evaluations nor inference.
        development: Total of all activities but inference: of trainings, evaluations and all else.
    """

    activities: tuple[Activity, ...]
    total: Group
    by_kind: Mapping[str, Group]
    by_status: Mapping[str, Group]
    wall_clock_s: float
    skipped: tuple[Skipped, ...] = ()
    project: str = ""
    study: str = ""
    training_wall_clock_s: float = 0.0
    development: Group = Group(0, 0.0, None, None)

    @property
    def energy_kwh(self) -> Estimate | None:
        """Energy of all activities in kWh, times PUE; None if unknown."""
        return self.total.energy_kwh

    @property
    def emissions_kg(self) -> Estimate | None:
        """Location-based emissions of all activities in kg CO2e; None if unknown."""
        return self.total.emissions_kg

    @property
    def work(self) -> Work:
        """Sums of steps, samples, tokens and operations; None where no activity has them."""
        return Work(*(_sum(one.work[i] for one in self.activities) for i in range(len(Work()))))


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
