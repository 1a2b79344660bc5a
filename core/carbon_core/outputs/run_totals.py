"""Totals of past runs, with memory independent of their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carbon_core.outputs.history import PastRun
from carbon_core.records import Estimate
from carbon_core.uncertainty import Sum, emissions_with_errors


@dataclass
class Total:
    """Total of runs. What is a part of another run is counted there only.

    Errors of one method or place are correlated between runs, as those of a training's runs are. Figures
    are added in place, because a file may have a million rows.

    Attributes:
        runs: Number of runs, without those that are part of others.
        within: Number of runs that are part of others, whose energy is counted there.
        unknown: Number of runs in which nothing was measured; their energy is in no total.
        within_kwh: Energy of these runs, for information.
        within_kg: Their emissions.
        without_interval: Number of runs without uncertainty, which are counted as exact.
        duration_s: Sum of the durations in seconds.
    """

    runs: int = 0
    within: int = 0
    within_kwh: float = 0.0
    within_kg: float = 0.0
    unknown: int = 0
    without_interval: int = 0
    duration_s: float = 0.0
    _energy: Sum = field(default_factory=Sum)
    _emissions: Sum = field(default_factory=Sum)

    def add(self, run: PastRun) -> None:
        """Add a run."""
        if not run.counted:
            self.within += 1
            self.within_kwh += run.energy_kwh.value
            self.within_kg += run.emissions_kg.value
            return
        self.runs += 1
        self.duration_s += run.duration_s * run.counted
        if not run.is_known:
            self.unknown += 1
            return
        self.without_interval += run.sigmas_ln is None
        segment, part = run.segment, run.counted
        if segment is None:
            self._energy.add(run.energy_kwh.value * part, {}, 0.0)
            self._emissions.add(run.emissions_kg.value * part, {}, 0.0)
        else:
            energy = segment.energy_kwh, segment.energy_sd_kwh, segment.foreign_kwh
            self._energy.add(*_scaled(energy, part))
            self._emissions.add(*_scaled(emissions_with_errors(segment), part))

    @property
    def is_known(self) -> bool:
        """Whether the energy of any run is known; if not, the figures are 0 and are not results."""
        return self.unknown < self.runs

    @property
    def energy_kwh(self) -> Estimate:
        """Energy in kWh, including PUE."""
        return self._energy.estimate

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions in kg CO2e."""
        return self._emissions.estimate


def _scaled(
    summand: tuple[float, Mapping[str, float] | None, float], part: float
) -> tuple[float, Mapping[str, float] | None, float]:
    """Return a part (0 to 1) of a summand with its errors."""
    value, errors, foreign = summand
    if errors is not None:
        errors = {name: sd * part for name, sd in errors.items()}
    return value * part, errors, foreign * part
