"""The studies of ``carbon-callbacks report``: one row each, with best trial, waste and Pareto front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from carbon_callbacks.cli.tables import Column
from carbon_core.formatting import duration, emissions_interval, energy, formatted
from carbon_core.outputs.receipt import estimate_data
from carbon_core.outputs.studies import StudyTotals
from carbon_core.records import Estimate
from carbon_core.trials import TrialResult

COLUMNS = (
    Column("study", folds=True),
    Column("trials", wraps=True),
    Column("best trial", folds=True),
    Column("time", dropped=1),
    Column("energy"),
    Column("waste"),
    Column("emissions (95 %)"),
)
_MOST_OF_FRONT = 8


def rows(studies: Iterable[StudyTotals]) -> Iterator[list[str]]:
    """Yield the row of each study."""
    for study in studies:
        counts = ", ".join(f"{count:,} {status}" for status, count in study.statuses.items())
        best = f"{study.best.trial_id} ({formatted(study.best.value)})" if study.best else "none"
        emissions = _estimate(study)[1]
        yield [
            study.study_id,
            counts or "none",
            best,
            duration(study.duration_s),
            energy(study.energy_kwh),
            _waste(study),
            emissions_interval(emissions) if emissions else "unknown",
        ]


def notes(studies: Iterable[StudyTotals]) -> Iterator[str]:
    """Yield the Pareto front of each study that has one of several trials."""
    for study in studies:
        if len(study.pareto) > 1:
            shown = "; ".join(map(_point, study.pareto[:_MOST_OF_FRONT]))
            more = len(study.pareto) - _MOST_OF_FRONT
            rest = f"; {more:,} more (--json)" if more > 0 else ""
            yield f"Pareto front of {study.study_id} (metric, energy): {shown}{rest}"


def data(study: StudyTotals) -> dict[str, Any]:
    """Return a study as JSON-ready data."""
    energy_kwh, emissions_kg = _estimate(study)
    unknown = {"value": None, "low_95": None, "high_95": None}
    return {
        "study_id": study.study_id,
        "direction": study.direction,
        "duration_s": study.duration_s,
        "energy_kwh": estimate_data(energy_kwh) if energy_kwh else unknown,
        "emissions_kg": estimate_data(emissions_kg) if emissions_kg else unknown,
        "waste_kwh": study.waste_kwh,
        "overhead_kwh": study.overhead_kwh,
        "trials_by_status": dict(study.statuses),
        "best": study.best.trial_id if study.best else None,
        "pareto": [one.trial_id for one in study.pareto],
        "trials": [one._asdict() for one in study.trials],
    }


def _estimate(study: StudyTotals) -> tuple[Estimate | None, Estimate | None]:
    """Return energy and emissions with their intervals; None where they are unknown."""
    energy_kwh = study.energy_kwh, study.energy_low_kwh, study.energy_high_kwh
    emissions_kg = study.emissions_kg, study.emissions_low_kg, study.emissions_high_kg
    return _known(energy_kwh), _known(emissions_kg)


def _known(figures: tuple[float | None, float | None, float | None]) -> Estimate | None:
    value, low, high = figures
    if value is None or low is None or high is None:
        return None
    return Estimate(value, low, high)


def _waste(study: StudyTotals) -> str:
    text = energy(study.waste_kwh)
    if not study.waste_kwh or not study.energy_kwh:
        return text
    return f"{text} ({study.waste_kwh / study.energy_kwh:.0%})"


def _point(trial: TrialResult) -> str:
    return f"{trial.trial_id} ({formatted(trial.value)}, {energy(trial.energy_kwh)})"
