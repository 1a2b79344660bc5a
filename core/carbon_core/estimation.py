"""Estimate of a training before it runs: energy and time with 95 % intervals, emissions, budget.

The energy is known from past trainings, from FLOPs and hardware, or from a dry run. A past training i
with an amount of work w_i (steps, samples or tokens) has a fixed part (setup and end) and a rate. The
logarithms of the rates of n trainings have a mean and a variance s^2, which is combined with what is
assumed of any project: 10 %, which counts as much as three trainings. One more training is within

    mean ± t s sqrt(1 + 1/n)

in 95 of 100 cases. A planned amount that is not like the past ones is less certain. The errors of the
meters are added in quadrature.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from carbon_core import uncertainty
from carbon_core.errors import CarbonError
from carbon_core.formatting import duration, emissions_interval, energy_interval
from carbon_core.hours import utc
from carbon_core.intensity import tables
from carbon_core.intensity.live import by_hour
from carbon_core.intensity_spread import likely_low_carbon_share, within_year
from carbon_core.intervals import in_quadrature
from carbon_core.outputs.receipt_reading import EVALUATION, TRAINING, Receipt
from carbon_core.records import Estimate, Intensity, IntensityShare
from carbon_core.run_facts import Work
from carbon_core.units import GRAMS_PER_KG, joules, kwh

Unit = Literal["step", "sample", "token", "training"]
Holds = Literal["exceeded", "uncertain", "holds"]
_WORST_FIRST: tuple[Holds, ...] = ("exceeded", "uncertain", "holds")
# Standard deviation of ln(rate) between trainings of a project, before any is known, and how many count.
_PRIOR_SIGMA_LN, _PRIOR_RUNS = 0.1, 3
# The same for an amount that is e times as large as that of the past trainings, or as small.
_SCALE_SIGMA_LN = 0.1
_MOST_RUNS = 50
_HOUR_S = 3600.0
# Lower intensities are taken as this one: 0 has no logarithm.
_LEAST_G_PER_KWH = 0.1
_SETUP_AND_END = ("setup", "sanity_check", "end")


class Planned(NamedTuple):
    """Expected energy and time of a training.

    Attributes:
        energy_kwh: Energy in kWh, times PUE.
        duration_s: Seconds.
        basis: What it is known from, as text.
        per: The unit of work that `rate_j` is for; an empty string where there is none.
        rate_j: Energy in joules for each unit of work; None without a unit.
        amount: Units of work of the training; None without a unit.
    """

    energy_kwh: Estimate
    duration_s: Estimate
    basis: str
    per: str = ""
    rate_j: Estimate | None = None
    amount: float | None = None


class Cost(NamedTuple):
    """Emissions of a planned training at a grid intensity.

    Attributes:
        intensity: The intensity.
        emissions_kg: Emissions in kg CO2e.
    """

    intensity: Intensity
    emissions_kg: Estimate


class _PastTraining(NamedTuple):
    """Energy in kWh and seconds of a past training: its setup and end, and for each unit of work."""

    fixed_kwh: float
    kwh_per_unit: float
    fixed_s: float
    s_per_unit: float
    amount: float


# --- from past trainings -----------------------------------------------------------------------------


def of_machine(runs: Iterable[Receipt], machine: Callable[[Receipt], bool]) -> list[Receipt]:
    """Return the trainings of a machine that an estimate may use, oldest first.

    If no run is a training of a callback, the runs that are no evaluations are returned.
    """
    usable = [
        one
        for one in runs
        if one.is_known and one.status == "completed" and one.run.rank == 0 and machine(one)
    ]
    trainings = [one for one in usable if one.kind == TRAINING]
    found = trainings or [one for one in usable if one.kind != EVALUATION]
    return sorted(found, key=lambda one: one.run.started_at)[-_MOST_RUNS:]


def from_runs(runs: Sequence[Receipt], work: Work) -> Planned:
    """Return energy and time of a training by past trainings of the same project and machine.

    Args:
        runs: The past trainings, oldest first.
        work: Amount of work of the planned one, in one unit; without any, that of the latest one.

    Raises:
        CarbonError: No past training has a count of that unit.
    """
    unit, amount = _unit_of(work)
    found = [past for one in runs if (past := _past(one, unit)) is not None]
    if not found:
        raise CarbonError(f"no past training has a count of its {unit}s" if runs else "no training")
    amount = found[-1].amount if amount is None else amount
    energy = _predicted([one.kwh_per_unit for one in found])
    time = _predicted([one.s_per_unit for one in found])
    scale_ln = math.log(amount / fmean(one.amount for one in found)) if amount > 0 else 0.0
    reach = math.exp(uncertainty.Z_95 * _SCALE_SIGMA_LN * abs(scale_ln))
    total = uncertainty.energy_of_segments(
        segment for one in runs for segment in (one.segment, *one.other_ranks)
    )
    rate = _with_error(energy, total)
    return Planned(
        _with_error(
            in_quadrature(
                _whole(energy, amount, [one.fixed_kwh for one in found]), 1 / reach, reach
            ),
            total,
        ),
        in_quadrature(_whole(time, amount, [one.fixed_s for one in found]), 1 / reach, reach),
        f"{len(found)} past training{'s' if len(found) > 1 else ''}",
        "" if unit == "training" else unit,
        None if unit == "training" else rate.scaled(joules(1.0)),
        None if unit == "training" else amount,
    )


def _unit_of(work: Work) -> tuple[Unit, float | None]:
    """Return the unit of an amount of work, and the amount; whole trainings where none is given."""
    units: tuple[tuple[Unit, float | None], ...] = (
        ("step", work.steps),
        ("sample", work.samples),
        ("token", work.tokens),
    )
    for unit, amount in units:
        if amount is not None:
            return unit, amount
    return "training", None


def _past(run: Receipt, unit: Unit) -> _PastTraining | None:
    """Return a past training by its unit of work; None if that was not counted, or nothing consumed."""
    counts = {"step": run.work.steps, "sample": run.work.samples, "token": run.work.tokens}
    amount = 1.0 if unit == "training" else counts[unit]
    energy_kwh = sum(one.energy_kwh for one in (run.segment, *run.other_ranks))
    if not amount or energy_kwh <= 0 or run.duration_s <= 0:
        return None
    fixed = [one for one in run.phases if one.name in _SETUP_AND_END and unit != "training"]
    fixed_s = min(run.duration_s, sum(one.duration_s for one in fixed))
    own_kwh = run.energy_kwh.estimate.value
    share = sum(one.energy_kwh or 0.0 for one in fixed) / own_kwh if own_kwh > 0 else 0.0
    fixed_kwh = energy_kwh * min(1.0, share)
    per_unit = (energy_kwh - fixed_kwh) / amount, (run.duration_s - fixed_s) / amount
    if min(per_unit) <= 0:
        return None
    return _PastTraining(fixed_kwh, per_unit[0], fixed_s, per_unit[1], amount)


def _predicted(values: Sequence[float]) -> Estimate:
    """Return the value of one more training; a geometric mean with the interval of a prediction."""
    logs = [math.log(value) for value in values]
    n, mean = len(logs), fmean(logs)
    squares = sum((one - mean) ** 2 for one in logs)
    freedom = _PRIOR_RUNS + n - 1
    variance = (_PRIOR_RUNS * _PRIOR_SIGMA_LN**2 + squares) / freedom
    half = uncertainty.t_975(freedom) * math.sqrt(variance * (1.0 + 1.0 / n))
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _whole(rate: Estimate, amount: float, fixed: Sequence[float]) -> Estimate:
    """Return the total of a training: its fixed part is as uncertain as the rest."""
    value = rate.value * amount + fmean(fixed)
    return Estimate(value, value * rate.low / rate.value, value * rate.high / rate.value)


def _with_error(estimate: Estimate, measured: Estimate) -> Estimate:
    """Return an estimate that includes the errors of the meters, which `measured` has."""
    value = measured.value
    return in_quadrature(estimate, measured.low / value, measured.high / value)


# --- from FLOPs --------------------------------------------------------------------------------------


def from_flops(
    flops: float, peak_flops_per_s: float, utilization: Estimate, power_w: Estimate
) -> Planned:
    """Return energy and time of a training by its floating-point operations and its hardware.

    Args:
        flops: Operations of the whole training.
        peak_flops_per_s: Total peak of the devices, for the number format that is used.
        utilization: Part of the peak (0 to 1) that is achieved, with its 95 % interval.
        power_w: Total mean power of the devices, with its 95 % interval.
    """
    value_s = flops / (peak_flops_per_s * utilization.value)
    time = Estimate(
        value_s,
        value_s * utilization.value / utilization.high,
        value_s * utilization.value / utilization.low,
    )
    energy = time.scaled(kwh(power_w.value))
    return Planned(
        in_quadrature(energy, power_w.low / power_w.value, power_w.high / power_w.value),
        time,
        f"{flops:.3g} FLOPs",
    )


def middle(low: float, high: float) -> Estimate:
    """Return a figure of which the ends of the 95 % interval are known: their geometric mean."""
    return Estimate(math.sqrt(low * high), low, high)


# --- emissions and budget ----------------------------------------------------------------------------


def cost(planned: Planned, intensity: Intensity, year: int | None) -> Cost:
    """Return the emissions of a planned training at an intensity.

    Args:
        planned: The training.
        intensity: The intensity.
        year: Year of the training; None if unknown.
    """
    kg = planned.energy_kwh.scaled(intensity.g_per_kwh / GRAMS_PER_KG)
    share = IntensityShare(intensity, 1.0, 1.0)
    sigma_ln = uncertainty.intensity_sigma_ln([share], planned.duration_s.value, year)
    reach = math.exp(uncertainty.Z_95 * sigma_ln)
    return Cost(intensity, in_quadrature(kg, 1.0 / reach, reach))


def holds(estimate: Estimate, limit: float) -> Holds:
    """Return whether a limit holds: for the whole interval, only for the value, or not."""
    if estimate.high <= limit:
        return "holds"
    return "uncertain" if estimate.value <= limit else "exceeded"


class TrainingEstimate(NamedTuple):
    """Energy, time and emissions of a training before it runs, with 95 % intervals.

    Attributes:
        planned: Energy and time.
        here: Emissions at the place of the settings.
        limits: The limits that are set, by the name of the setting.
        year: Year of the training.
    """

    planned: Planned
    here: Cost
    limits: Mapping[str, float]
    year: int | None = None

    @property
    def energy_kwh(self) -> Estimate:
        """Energy in kWh, times PUE."""
        return self.planned.energy_kwh

    @property
    def duration_s(self) -> Estimate:
        """Seconds."""
        return self.planned.duration_s

    @property
    def emissions_kg(self) -> Estimate:
        """Emissions in kg CO2e at the place of the settings."""
        return self.here.emissions_kg

    @property
    def budget(self) -> Holds | None:
        """Whether all limits hold; None if there is none."""
        found = set(self.budgets.values())
        return next((state for state in _WORST_FIRST if state in found), None)

    @property
    def budgets(self) -> dict[str, Holds]:
        """Whether each limit holds, by the name of its setting."""
        figures = {"budget_kwh": self.energy_kwh, "budget_kg_co2e": self.emissions_kg}
        return {name: holds(figures[name], limit) for name, limit in self.limits.items()}

    def in_country(self, code: str) -> Cost:
        """Return the emissions in another country.

        Args:
            code: ISO 3166-1 code of two or three letters.

        Raises:
            CarbonError: There is no such country.
        """
        intensity = tables.country(tables.iso3_of(code) or code)
        if intensity is None:
            raise CarbonError(f"unknown country: {code!r}")
        return cost(self.planned, intensity, self.year)

    def summary(self) -> str:
        """Return the estimate as one line of text."""
        text = (
            f"estimate ({self.planned.basis}): {energy_interval(self.energy_kwh, '95 %: ')} in "
            f"{duration(self.duration_s.value)} ({duration(self.duration_s.low)} to "
            f"{duration(self.duration_s.high)}), {emissions_interval(self.emissions_kg)}, "
            f"{self.here.intensity.place}"
        )
        return "; ".join([text, *(f"{name}: {state}" for name, state in self.budgets.items())])

    def __str__(self) -> str:
        return self.summary()


class HourCost(NamedTuple):
    """Emissions of a planned training by the hour of the day at which it starts.

    Attributes:
        hour: Hour of the day in UTC, 0 to 23.
        days: Number of days with data.
        g_per_kwh: Mean grid intensity while it would run.
        emissions_kg: Emissions in kg CO2e.
    """

    hour: int
    days: int
    g_per_kwh: float
    emissions_kg: Estimate


def by_start_hour(planned: Planned, values: Iterable[Intensity]) -> list[HourCost]:
    """Return the emissions of a planned training for each hour of the day at which it may start.

    Hours with a value missing while the training would run are left out. The days differ; how much is
    part of the interval.

    Args:
        planned: The training.
        values: Grid intensities of past hours, each with its time.
    """
    means = {utc(hour): one.g_per_kwh for hour, one in by_hour(values).items()}
    of_hour: dict[int, list[float]] = defaultdict(list)
    for start in sorted(means):
        if (mean := _mean_g_per_kwh(means, start, planned.duration_s.value)) is not None:
            of_hour[start.hour].append(mean)
    return [_hour_cost(planned, hour, found) for hour, found in sorted(of_hour.items())]


def _mean_g_per_kwh(
    means: Mapping[datetime, float], start: datetime, duration_s: float
) -> float | None:
    """Return the mean intensity of the hours from a start on; None where one has no value."""
    hours = max(duration_s, 1.0) / _HOUR_S
    total = 0.0
    for i in range(math.ceil(hours)):
        value = means.get(start + timedelta(hours=i))
        if value is None:
            return None
        total += min(1.0, hours - i) * value
    return total / hours


def _hour_cost(planned: Planned, hour: int, found: Sequence[float]) -> HourCost:
    mean = fmean(found)
    logs = [math.log(max(value, _LEAST_G_PER_KWH)) for value in found]
    if len(logs) > 1:
        sigma_ln = stdev(logs)
    else:  # one day shows nothing of the others
        sigma_ln = within_year(likely_low_carbon_share(mean), planned.duration_s.value)
    reach = math.exp(uncertainty.Z_95 * sigma_ln)
    kg = planned.energy_kwh.scaled(mean / GRAMS_PER_KG)
    return HourCost(hour, len(found), mean, in_quadrature(kg, 1.0 / reach, reach))
