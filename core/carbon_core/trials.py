"""Trials of a study: their results, which one is best, and the Pareto front of metric against energy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from carbon_core.limits import Amount, Metric, Seconds, Time
from carbon_core.record import record

# How a trial may end. One that is open is `RUNNING`.
STATUSES = ("completed", "pruned", "failed")
RUNNING = "running"
Direction = Literal["minimize", "maximize"]
DIRECTIONS = ("minimize", "maximize")


@record(frozen=True)
class StudyFacts:
    """The study that a run belongs to.

    Attributes:
        study_id: Its id; the same in all of its processes, and after it was resumed.
        trial_id: The trial that the run is, or a part of; None for a run that measures all trials of
            its process, and where it is unknown.
        direction: Which values of the metric are better.
        has_trials: Whether the run measures all trials of its process, which its receipt lists.
        divides: Whether the run counts its share of the machine: not where it is within a run of
            another process of the study, which counts it.
    """

    study_id: str
    trial_id: str | None = None
    direction: Direction = "minimize"
    has_trials: bool = False
    divides: bool = True


class TrialResult(NamedTuple):
    """Results of a trial; of an open one, those so far.

    Attributes:
        trial_id: Its id within the study.
        started_at: ISO time in UTC.
        status: ``completed``, ``pruned``, ``failed``, or ``running``.
        value: The metric that the study optimises, or None.
        parameters: Its hyperparameters, as text.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE; None where nothing was measured, as in the next five.
        energy_low_kwh: Low end of its 95 % interval.
        energy_high_kwh: High end.
        emissions_kg: Emissions in kg CO2e.
        emissions_low_kg: Low end of their 95 % interval.
        emissions_high_kg: High end.
    """

    trial_id: str
    started_at: Time
    status: str = RUNNING
    value: Metric | None = None
    parameters: Mapping[str, str] = {}
    duration_s: Seconds = 0.0
    energy_kwh: Amount | None = None
    energy_low_kwh: Amount | None = None
    energy_high_kwh: Amount | None = None
    emissions_kg: Amount | None = None
    emissions_low_kg: Amount | None = None
    emissions_high_kg: Amount | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Identifies it within a run, in which a trial may be repeated."""
        return self.trial_id, self.started_at

    @property
    def is_waste(self) -> bool:
        """Whether it has ended without a result."""
        return self.status in ("pruned", "failed")

    def plus(self, later: TrialResult) -> TrialResult:
        """Return both parts of a trial that several runs have measured; the later one has its end."""
        # The errors of the parts are those of the same meters: their ends add up.
        sums = (_sum(a, b) for a, b in zip(self[5:], later[5:]))
        value = later.value if later.value is not None else self.value
        facts = self.trial_id, self.started_at, later.status, value
        return TrialResult(*facts, {**self.parameters, **later.parameters}, *sums)  # type: ignore[arg-type]

    def scaled(self, part: float) -> TrialResult:
        """Return it with a part (0 to 1) of its duration, energy and emissions."""
        figures = (None if one is None else one * part for one in self[5:])
        return TrialResult(*self[:5], *figures)  # type: ignore[arg-type]


def best_of(trials: Iterable[TrialResult], direction: str) -> TrialResult | None:
    """Return the completed trial with the best value; None if there is none with a value."""
    sign = _sign(direction)
    valued = [(sign * one.value, one) for one in trials if one.value is not None and _is_done(one)]
    return min(valued, key=lambda pair: pair[0])[1] if valued else None


def pareto_front(trials: Iterable[TrialResult], direction: str) -> list[TrialResult]:
    """Return the completed trials that no other one beats in both value and energy, by energy."""
    sign = _sign(direction)
    known = [
        (one.energy_kwh, sign * one.value, one)
        for one in trials
        if _is_done(one) and one.value is not None and one.energy_kwh is not None
    ]
    front: list[TrialResult] = []
    least = float("inf")
    for _, cost, one in sorted(known, key=lambda row: row[:2]):
        if cost < least:
            least = cost
            front.append(one)
    return front


def counts_by_status(trials: Sequence[TrialResult]) -> dict[str, int]:
    """Return the number of trials by status, without those of which there are none."""
    names = [one.status for one in trials]
    return {name: names.count(name) for name in (*STATUSES, RUNNING) if name in names}


def _is_done(trial: TrialResult) -> bool:
    return trial.status == "completed"


def _sign(direction: str) -> float:
    return -1.0 if direction == "maximize" else 1.0


def _sum(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else one + other
