"""Names and figures of what is logged: the same in every framework, before its own prefix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from carbon_core import Report, Segment, units

Figures = dict[str, float]

EPOCH_PREFIX = "epoch_"
_INTENSITY = "carbon_intensity_g_per_kwh"
_PER_WINDOW = ("energy_kwh", "emissions_kg")


class Progress(NamedTuple):
    """How far a training has come, as far as its framework knows.

    Attributes:
        fraction: Part of the whole training (0 to 1) that is done, by all starts together.
        samples: Training samples since this start, of all ranks together.
        tokens: Tokens since this start, of all ranks together.
    """

    fraction: float | None = None
    samples: float | None = None
    tokens: float | None = None


class Share(NamedTuple):
    """What one rank contributes to the figures of a training.

    Attributes:
        totals: Figures of its run so far; empty where another rank measures its hardware.
        epoch: Figures of the epoch that ended last.
        phases: Energy of each phase that has ended.
        trained_kwh: Energy since the first epoch of this start began.
        trained_s: Seconds since then.
        own: Its run, as a segment; None where it measures nothing.
        earlier: The segments that it continues.
    """

    totals: Figures
    epoch: Figures
    phases: Figures
    trained_kwh: float = 0.0
    trained_s: float = 0.0
    own: Segment | None = None
    earlier: tuple[Segment, ...] = ()


def figures_of(report: Report | None) -> Figures:
    """Return a report's figures under the names that all frameworks' loggers get."""
    return report.metrics if report is not None else {}


def summed(shares: Iterable[Figures]) -> Figures:
    """Return the figures of several ranks together."""
    total: Figures = {}
    for share in shares:
        for name, value in share.items():
            total[name] = total.get(name, 0.0) + value if name != _INTENSITY else value
    if total.get("energy_kwh"):
        total[_INTENSITY] = total["emissions_kg"] * units.GRAMS_PER_KG / total["energy_kwh"]
    return total


def kg_per_kwh(totals: Mapping[str, float]) -> float:
    """Return the mean intensity of some totals in kg CO2e per kWh."""
    return totals.get(_INTENSITY, 0.0) / units.GRAMS_PER_KG


def of_window(figures: Figures, prefix: str) -> Figures:
    """Return what is logged of an epoch or an evaluation."""
    return {prefix + name: figures[name] for name in _PER_WINDOW if name in figures}


def of_phases(report: Report | None) -> Figures:
    """Return what each phase took that has ended."""
    if report is None or not report.components:
        return {}
    factor = report.run.pue
    return {f"{one.name}_energy_kwh": units.kwh(one.joules) * factor for one in report.phases}


def of_all_starts(totals: Mapping[str, float], earlier: Iterable[Segment]) -> Figures:
    """Return what a training took that was interrupted and resumed, this start included."""
    if not totals:
        return {}
    segments = tuple(earlier)
    return {
        "all_starts_energy_kwh": totals["energy_kwh"] + sum(one.energy_kwh for one in segments),
        "all_starts_emissions_kg": totals["emissions_kg"]
        + sum(one.emissions_kg for one in segments),
    }


def of_work(totals: Mapping[str, float], progress: Progress) -> Figures:
    """Return how much was learned from for the energy; nothing where it is not known."""
    energy_kwh = totals.get("energy_kwh", 0.0)
    figures: Figures = {}
    for unit, count in (("sample", progress.samples), ("token", progress.tokens)):
        if energy_kwh > 0 and count:
            figures[f"{unit}s_per_kwh"] = count / energy_kwh
            figures[f"j_per_{unit}"] = units.joules(energy_kwh) / count
    return figures
