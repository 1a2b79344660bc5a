"""Totals of a study from its runs: energy by trial, waste, the best trial and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from carbon_core.outputs.base import RUNS_DIRECTORY
from carbon_core.outputs.history import PastRun, Skipped, read
from carbon_core.outputs.journal_locks import RUNNING_OR_LOST
from carbon_core.outputs.run_totals import Total
from carbon_core.trials import (
    RUNNING,
    STATUSES,
    TrialResult,
    best_of,
    counts_by_status,
    pareto_front,
)


class StudyTotals(NamedTuple):
    """Totals of a study, over all of its processes and resumed runs.

    Attributes:
        study_id: Its id.
        direction: ``minimize`` or ``maximize``: which values are better.
        duration_s: Sum of the durations of its runs in seconds.
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
    direction: str
    duration_s: float
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


class StudySum:
    """Adds up the runs of a study.

    Args:
        study_id: The study.
    """

    def __init__(self, study_id: str) -> None:
        self._study_id = study_id
        # That of the latest run with trials.
        self._latest, self._direction = "", "minimize"
        self._total = Total()
        self._runs: list[PastRun] = []

    def add(self, run: PastRun) -> None:
        """Add a run; what another run of the study includes is counted there only."""
        if run.study is None:
            return
        self._total.add(run._replace(counted=run.counted_in_study))
        self._runs.append(run)
        if run.study.has_trials and run.time >= self._latest:
            self._latest, self._direction = run.time, run.study.direction

    def totals(self) -> StudyTotals:
        """Return the totals of the runs so far."""
        total, trials = self._total, self._trials()
        unknown = (None, None, None)
        of_trials = sum(one.energy_kwh or 0.0 for one in trials)
        kwh, kg = (total.energy_kwh, total.emissions_kg) if total.is_known else (unknown, unknown)
        return StudyTotals(
            self._study_id,
            self._direction,
            total.duration_s,
            energy_kwh=kwh[0],
            energy_low_kwh=kwh[1],
            energy_high_kwh=kwh[2],
            emissions_kg=kg[0],
            emissions_low_kg=kg[1],
            emissions_high_kg=kg[2],
            waste_kwh=sum(one.energy_kwh or 0.0 for one in trials if one.is_waste),
            overhead_kwh=max(0.0, (kwh[0] or 0.0) - of_trials),
            statuses=counts_by_status(trials),
            trials=trials,
            best=best_of(trials, self._direction),
            pareto=pareto_front(trials, self._direction),
        )

    def _trials(self) -> tuple[TrialResult, ...]:
        """Return each trial once: a resumed one has parts in several runs."""
        found: dict[str, TrialResult] = {}
        # A run around one that has measured its trials is not a trial, too.
        around = {one for run in self._runs if _has_trials(run) for one in run.within}
        parts = [one for run in self._runs for one in _trials_of(run, around)]
        for part in sorted(parts, key=lambda one: one.started_at):
            before = found.get(part.trial_id)
            found[part.trial_id] = before.plus(part) if before else part
        return tuple(found.values())


def study_totals(
    directory: Path, study_id: str, known: Mapping[str, PastRun] | None = None
) -> StudyTotals:
    """Return the totals of a study from the files of an output directory.

    Args:
        directory: The output directory.
        study_id: The study.
        known: Runs by id that are used instead of those in files.
    """
    found = StudySum(study_id)
    for run in read([directory / RUNS_DIRECTORY], known):
        if not isinstance(run, Skipped) and run.study and run.study.study_id == study_id:
            found.add(run)
    return found.totals()


def _has_trials(run: PastRun) -> bool:
    return run.study is not None and run.study.has_trials


def _trials_of(run: PastRun, around: Set[str]) -> Sequence[TrialResult]:
    """Return the trials of a run; one that is a trial itself gives that.

    Args:
        run: The run.
        around: Ids of the runs that others with trials are within.
    """
    study, part = run.study, run.counted_in_study
    if study is None or study.has_trials:
        return run.trials
    if run.run_id in around or not part:
        return ()
    figures = (*run.energy_kwh, *run.emissions_kg) if run.is_known else ()
    trial_id, status = study.trial_id or run.run_id, _status_of(run)
    return [
        TrialResult(trial_id, run.time, status, None, {}, run.duration_s, *figures).scaled(part)
    ]


def _status_of(run: PastRun) -> str:
    if run.status in (RUNNING, RUNNING_OR_LOST):
        return RUNNING
    return run.status if run.status in STATUSES else "failed"
