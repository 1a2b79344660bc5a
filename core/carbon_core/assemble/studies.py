"""Studies: many trials of a hyperparameter search, each with its share of the machine.

One study in a process measures the machine, from the begin of its first trial to `Study.end`. Energy
that is used while several trials are open, in threads of this process or in other processes of the same
study on this machine, is divided equally among them: trials add up to the study without its overhead,
which is the energy between trials.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_core.addresses import masked_value
from carbon_core.assemble.study_measurement import MEASUREMENTS, StudyMeasurement, StudyTracker
from carbon_core.assemble.trackers import EmissionsTracker
from carbon_core.clock import SystemClock
from carbon_core.config.schema import bare
from carbon_core.config.sources import process_environment
from carbon_core.errors import ConfigError
from carbon_core.identifiers import random_uuid
from carbon_core.interruptions import suppressed
from carbon_core.record import replace
from carbon_core.study_environment import study_of
from carbon_core.tracker.status import status_of
from carbon_core.trials import DIRECTIONS, STATUSES, StudyFacts, TrialResult

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from carbon_core.outputs.studies import StudyTotals
    from carbon_core.tracker.trial_ledger import OpenTrial, TrialLedger

_FRESH_S = 0.1
# Other processes write what they have used every ``measure_power_secs``; reading takes time, too.
_ELSEWHERE_NS = 5_000_000_000
_LONGEST_TEXT = 1000
_MOST_PARAMETERS = 1000
# Of others, `masked_value` returns the type only.
_PLAIN = (str, bool, int, float, Mapping, list, tuple, set, frozenset)


class TrialEnergy:
    """A trial that was opened by `Study.trial`; a context manager, which ends it.

    An exception ends it as ``failed``, `optuna.TrialPruned` as ``pruned``.

    Attributes:
        trial_id: Its id within the study.
        parameters: Its hyperparameters, as text.
    """

    def __init__(
        self,
        trial_id: str,
        parameters: Mapping[str, str],
        measurement: StudyMeasurement,
    ) -> None:
        self.trial_id = trial_id
        self.parameters = parameters
        self._value: float | None = None
        self._measurement = measurement
        self._ledger: TrialLedger | None = None
        self._trial: OpenTrial | None = None
        with suppressed(Exception):  # a search must not end because of its measurement
            self._ledger, self._trial = measurement.begin(trial_id, parameters)

    def end(self, status: str = "completed", value: float | None = None) -> TrialResult:
        """End the trial and return its results; the first call decides, later ones return the same.

        Args:
            status: ``completed``, ``pruned`` or ``failed``; any other is recorded as ``failed``, with a
                warning.
            value: The metric that the study optimises; None for that of `note_value`.
        """
        with suppressed(Exception):
            if status not in STATUSES:
                words = f"a trial ends as {', '.join(STATUSES)}, not {status!r}"
                self._measurement.tracker.warn(words)
                status = "failed"
            if value is not None:
                self.note_value(value)
            if self._ledger is not None and self._trial is not None:
                self._measurement.end(self._ledger, self._trial, status, self._value)
        return self._result(0.0)

    def note_value(self, value: float) -> None:
        """Set the value of the metric so far, for a trial that a ``with`` block ends."""
        self._value = _number_of(value)

    def note_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Set the hyperparameters, for a search that chooses them after the begin of the trial."""
        self.parameters = _texts_of(parameters)
        if (trial := self._trial) is not None:
            trial.facts = trial.facts._replace(parameters=self.parameters)
            trial.result = trial.result._replace(parameters=self.parameters)

    @property
    def result(self) -> TrialResult:
        """Its results, so far or final."""
        found = self._result(_FRESH_S)
        # The latest report may be older than a trial that has just begun.
        return found if found.energy_kwh is not None else self._result(0.0)

    @property
    def energy_kwh(self) -> float | None:
        """Energy in kWh, times PUE, so far or final; None where it is unknown."""
        return self.result.energy_kwh

    @property
    def energy_low_kwh(self) -> float | None:
        """Low end of its 95 % interval."""
        return self.result.energy_low_kwh

    @property
    def energy_high_kwh(self) -> float | None:
        """High end of its 95 % interval."""
        return self.result.energy_high_kwh

    @property
    def emissions_kg(self) -> float | None:
        """Emissions in kg CO2e."""
        return self.result.emissions_kg

    def forecast_kwh(self, done: float) -> float | None:
        """Return the energy in kWh that the whole trial will use; None where it is unknown.

        Args:
            done: Part of the trial that is done, above 0 and up to 1, such as epochs done by all.
        """
        part, used_kwh = _number_of(done), self.energy_kwh
        if part is None or not 0.0 < part <= 1.0 or used_kwh is None:
            return None
        return used_kwh / part

    def _result(self, max_age_s: float) -> TrialResult:
        trial = self._trial
        if trial is None:
            return TrialResult(self.trial_id, "", "failed", self._value, self.parameters)
        with suppressed(Exception):
            self._measurement.report(max_age_s)  # it brings the result up to date
        return trial.result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        status = status_of(error)
        self.end(status if status in STATUSES else "failed")


class Study:
    """Measures the trials of a study.

    Objects of one process with the same id share one run, with the settings of the one that was made
    last before it began.

    Examples:
        >>> with Study("lr", save_to_file=False) as study:
        ...     for lr in (0.1, 0.01):
        ...         with study.trial(lr, {"lr": lr}) as trial:
        ...             trial.note_value(lr)
        >>> study.totals().best.trial_id
        '0.01'

    Attributes:
        study_id: Id of the study; the same in every process, and in a resumed study.

    Args:
        study_id: As above; None for the setting ``study_id``, else that of the launcher (a W&B sweep, a
            Slurm array), else a random one.
        direction: ``minimize`` or ``maximize``: which values are better.
        like: A tracker that was made with these settings, which are not checked again.
        **settings: Settings of `EmissionsTracker`. ``budget_kwh`` and ``budget_kg_co2e`` are limits of
            the whole study.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        study_id: str | None = None,
        *,
        direction: str = "minimize",
        like: EmissionsTracker | None = None,
        **settings: Any,
    ) -> None:
        if direction not in DIRECTIONS:
            raise ConfigError(
                f"direction must be one of {', '.join(DIRECTIONS)}, got {direction!r}",
                key="direction",
            )
        self._direction = direction
        self._settings: dict[str, Any] = dict(settings)
        if study_id is not None:
            self._settings["study_id"] = study_id
        # Checks the settings, and warns about those of files and variables.
        tracker = StudyTracker.like(like) if like else StudyTracker(**self._settings)
        given = study_id or tracker.settings.study_id
        found = study_of(process_environment(), given).study_id
        self.study_id = found or random_uuid()
        self._directory = Path(tracker.settings.output_dir)
        with suppressed(OSError):  # the working directory may have been removed
            self._directory = self._directory.absolute()
        # Energy (kWh) and emissions (kg) of other runs of the study, as they were at the last begin of a
        # trial.
        self._elsewhere: tuple[float, float] | None = None
        self._elsewhere_until_ns = 0
        self._measurement: StudyMeasurement | None = self._shared(tracker)

    def trial(
        self, trial_id: str | int, parameters: Mapping[str, Any] | None = None
    ) -> TrialEnergy:
        """Begin a trial; the first one begins the measurement.

        Several may be open, also in threads. A trial that is open with this id ends as ``failed``.

        Args:
            trial_id: Its id within the study, such as its number.
            parameters: Its hyperparameters; kept as text.
        """
        measurement = self._current()
        measurement.users.add(self)
        now_ns = SystemClock.monotonic_ns()
        if now_ns > self._elsewhere_until_ns or not measurement.tracker.running:
            self._elsewhere = None
        return TrialEnergy(_text_of(trial_id), _texts_of(parameters), measurement)

    @property
    def tracker(self) -> EmissionsTracker:
        """The tracker that measures this process."""
        return self._current().tracker

    @property
    def over_budget(self) -> bool:
        """Whether the study has reached its budget, with earlier runs and other processes.

        Their files are read between trials, at most every five seconds.
        """
        settings = self._current().tracker.settings
        limits = settings.budget_kwh, settings.budget_kg_co2e
        if limits == (None, None):
            return False
        here = (0.0, 0.0)
        if (report := self._current().report(_FRESH_S)) is not None and report.is_known:
            here = report.energy_kwh.value, report.emissions_kg.value
        if self._elsewhere is None:
            found = self.totals()
            whole = found.energy_kwh or 0.0, found.emissions_kg or 0.0
            self._elsewhere = whole[0] - here[0], whole[1] - here[1]
            self._elsewhere_until_ns = SystemClock.monotonic_ns() + _ELSEWHERE_NS
        used = (a + b for a, b in zip(here, self._elsewhere))
        return any(limit is not None and total >= limit for total, limit in zip(used, limits))

    def totals(self) -> StudyTotals:
        """Return the totals so far, with those of earlier runs and other processes."""
        from carbon_core.outputs.studies import StudySum, study_totals

        measurement = self._current()
        try:
            return study_totals(self._directory, self.study_id, measurement.runs())
        except Exception as error:  # noqa: BLE001 - nothing in a file may end a search
            measurement.tracker.warn(f"the totals of the study are unknown: {error!r}")
            return StudySum(self.study_id).totals()

    def end(self) -> StudyTotals:
        """End the measurement and save it; trials that are open end as ``failed``.

        A later trial begins another run of the study.
        """
        measurement = self._current()
        measurement.users.discard(self)
        if not measurement.users:
            measurement.close()
        return self.totals()

    def _current(self) -> StudyMeasurement:
        """Return the measurement of this process; a forked child begins its own."""
        found = MEASUREMENTS.get(self.study_id)
        if found is None or found.pid != os.getpid():
            found = self._shared(None)
        self._measurement = found  # which exists as long as an object refers to it
        return found

    def _shared(self, tracker: StudyTracker | None) -> StudyMeasurement:
        found = MEASUREMENTS.get(self.study_id)
        is_same = found is not None and (found.pid, found.directory) == (
            os.getpid(),
            self._directory,
        )
        before = found.reports if found is not None and is_same else {}
        if found is None or found.pid != os.getpid() or found.is_idle:
            tracker = tracker or StudyTracker(**self._settings)
            tracker.settings = replace(tracker.settings, study_id=self.study_id)
            tracker.study = StudyFacts(self.study_id, None, self._direction, has_trials=True)  # type: ignore[arg-type]
            found = MEASUREMENTS[self.study_id] = StudyMeasurement(tracker, self._directory)
            found.reports.update(before)
            tracker.prepare()
        return found

    def __getstate__(self) -> dict[str, Any]:
        # Threads, files and secrets stay here; the copy in another process measures that.
        settings = {name: bare(name, value) for name, value in self._settings.items()}
        return {**self.__dict__, "_measurement": None, "_settings": settings}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def _number_of(value: object) -> float | None:
    """Return a metric as a finite number, or None."""
    with suppressed(Exception):
        number = float(value)  # type: ignore[arg-type]
        return number if math.isfinite(number) else None
    return None


def _text_of(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    with suppressed(Exception):
        return str(value)[:_LONGEST_TEXT]
    return type(value).__name__


def _texts_of(parameters: Mapping[str, Any] | None) -> dict[str, str]:
    if not isinstance(parameters, Mapping):
        return {}
    rows = list(parameters.items())[:_MOST_PARAMETERS]
    return dict(_text_of_parameter(name, value) for name, value in rows)


def _text_of_parameter(name: object, value: object) -> tuple[str, str]:
    """Return a parameter as text without secrets: some searches have their whole configuration in it."""
    text = _text_of(name)
    with suppressed(Exception):
        is_plain = value is None or isinstance(value, _PLAIN)
        ((shown_name, shown),) = masked_value(
            {text: value if is_plain else _text_of(value)}
        ).items()
        return shown_name, _text_of(shown)
    return text, type(value).__name__
