"""Energy use of a study: many trials of a hyperparameter search, each with its share of the machine.

One study in a process measures the machine, from the begin of its first trial to `Study.end`. Energy
that is used while several trials are open, in threads of this process or in other processes of the same
study on this machine, is divided equally among them: trials add up to the study without its overhead,
which is the energy between trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

STATUSES = ("completed", "pruned", "failed")


class TrialResult(NamedTuple):
    """Results of a trial; of an open one, those so far.

    Attributes:
        trial_id: Its id within the study.
        status: ``completed``, ``pruned``, ``failed``, or ``running``.
        value: The metric that the study optimises, or None.
        parameters: Its hyperparameters.
        duration_s: Duration in seconds.
        energy_kwh: Energy in kWh, times PUE; None where nothing was measured, as in the next five.
        energy_low_kwh: Low end of its 95 % interval.
        energy_high_kwh: High end.
        emissions_kg: Emissions in kg CO2e.
        emissions_low_kg: Low end of their 95 % interval.
        emissions_high_kg: High end.
    """

    trial_id: str
    status: str = "running"
    value: float | None = None
    parameters: Mapping[str, Any] = {}
    duration_s: float = 0.0
    energy_kwh: float | None = None
    energy_low_kwh: float | None = None
    energy_high_kwh: float | None = None
    emissions_kg: float | None = None
    emissions_low_kg: float | None = None
    emissions_high_kg: float | None = None


class StudyTotals(NamedTuple):
    """Totals of a study, over all of its processes and resumed runs in the output directory.

    Attributes:
        study_id: Its id.
        energy_kwh: Energy in kWh, times PUE, with overhead; None where nothing was measured.
        energy_low_kwh: Low end of its 95 % interval.
        energy_high_kwh: High end.
        emissions_kg: Emissions in kg CO2e.
        emissions_low_kg: Low end of their 95 % interval.
        emissions_high_kg: High end.
        waste_kwh: Energy of pruned and failed trials.
        overhead_kwh: Energy while no trial was open.
        statuses: Number of trials by status.
        trials: The trials, in the order of their begins.
        best: The completed trial with the best value, or None.
        pareto: The completed trials for which no other one has a better value and less energy, by
            ascending energy.
    """

    study_id: str
    energy_kwh: float | None
    energy_low_kwh: float | None
    energy_high_kwh: float | None
    emissions_kg: float | None
    emissions_low_kg: float | None
    emissions_high_kg: float | None
    waste_kwh: float
    overhead_kwh: float
    statuses: Mapping[str, int]
    trials: Sequence[TrialResult]
    best: TrialResult | None
    pareto: Sequence[TrialResult]


class TrialEnergy:
    """A trial that was opened by `Study.trial`; a context manager, which ends it.

    An exception ends it as ``failed``, `optuna.TrialPruned` as ``pruned``.

    Attributes:
        trial_id: Its id within the study.
        parameters: Its hyperparameters.
    """

    trial_id: str
    parameters: Mapping[str, Any]

    def end(self, status: str = "completed", value: float | None = None) -> TrialResult:
        """End the trial and return its results; the first call decides, later ones return the same.

        Args:
            status: One of `STATUSES`; any other is recorded as ``failed``, with a warning.
            value: The metric that the study optimises.
        """
        raise NotImplementedError

    @property
    def result(self) -> TrialResult:
        """Its results, so far or final. Never raises."""
        raise NotImplementedError

    @property
    def energy_kwh(self) -> float | None:
        """Energy in kWh, times PUE, so far or final; None where it is unknown."""
        raise NotImplementedError

    @property
    def energy_low_kwh(self) -> float | None:
        """Low end of its 95 % interval."""
        raise NotImplementedError

    @property
    def energy_high_kwh(self) -> float | None:
        """High end of its 95 % interval."""
        raise NotImplementedError

    @property
    def emissions_kg(self) -> float | None:
        """Emissions in kg CO2e."""
        raise NotImplementedError

    def forecast_kwh(self, done: float) -> float | None:
        """Return the energy in kWh that the whole trial will use; None where it is unknown.

        Args:
            done: Part of the trial that is done, above 0 and up to 1, such as epochs done by all.
        """
        raise NotImplementedError

    def __enter__(self) -> TrialEnergy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError


class Study:
    """Measures the trials of a study.

    Objects of one process with the same id share one run.

    Attributes:
        study_id: Id of the study; the same in every process, and in a resumed study.

    Args:
        study_id: As above; None for the setting ``study_id``, else a random one.
        direction: ``minimize`` or ``maximize``: which values are better.
        **settings: Settings of `EmissionsTracker`. ``budget_kwh`` and ``budget_kg_co2e`` are limits of
            the whole study.

    Raises:
        ConfigError: An argument is wrong.
    """

    study_id: str

    def __init__(
        self, study_id: str | None = None, *, direction: str = "minimize", **settings: Any
    ) -> None:
        raise NotImplementedError

    def trial(
        self, trial_id: str | int, parameters: Mapping[str, Any] | None = None
    ) -> TrialEnergy:
        """Begin a trial; the first one begins the measurement.

        Several may be open, also in threads. A trial that was open with this id is ended as ``failed``.

        Args:
            trial_id: Its id within the study, such as its number.
            parameters: Its hyperparameters; values that are no number, text or None are kept as text.
        """
        raise NotImplementedError

    @property
    def over_budget(self) -> bool:
        """Whether the study has reached its budget, with earlier runs and other processes."""
        raise NotImplementedError

    def totals(self) -> StudyTotals:
        """Return the totals so far, with those of earlier runs and other processes."""
        raise NotImplementedError

    def end(self) -> StudyTotals:
        """End the measurement and save it; trials that are open end as ``failed``.

        A later trial begins another run of the study.
        """
        raise NotImplementedError

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()
