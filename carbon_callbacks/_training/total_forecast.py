"""Forecast of a training's totals: what its laps suggest, and how sure its meters and intensity are.

A forecast is about the true total, so its interval combines two uncertainties in quadrature: how the
training may continue (`forecast`), and that of all its runs and ranks, of which this run has that energy
and duration. At the end, nothing remains, and the interval is that of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from carbon_callbacks._training.forecast import Forecast, Laps
from carbon_callbacks._training.step_laps import Point, StepLaps
from carbon_callbacks._training.totals import (
    Progress,
    RankTotals,
    TrainingForecast,
    TrainingTotals,
)

if TYPE_CHECKING:
    from carbon_core import Estimate, OpenWindow, Report, Segment

# A forecast costs more than all other metrics, and hardly changes between many logs a second.
_EVERY_S = 0.5
# In the first seconds after the first step, evaluations are compiled and caches filled: much of the
# energy of a short training.
_LEAST_S = 2.0
# Compilation, caches and the first allocations take about this long, of a first lap at most that part.
_WARM_UP_S = 10.0
_MOST_WARM_UP = 0.8
# Part of the evaluations without improvement after which early stopping ends a training.
_PATIENCE_USED = 0.5


class Factors(NamedTuple):
    """Ends of an interval divided by its value."""

    low: float = 1.0
    high: float = 1.0


class _Expected(NamedTuple):
    """Energy and time since the first epoch, as expected at the end, and the factors of both totals."""

    trained_kwh: Forecast
    trained_s: float
    energy: Factors
    emissions: Factors


class TotalForecast:
    """Forecasts the totals of one run's training.

    Attributes:
        steps: Laps between logs.
    """

    def __init__(self) -> None:
        self.steps = StepLaps()
        self._kwh, self._seconds = Laps(0.0), Laps(0.0)
        self._own = self._before = Point(0.0, 0.0, 0.0)
        self._all_before = (0.0, 0.0)
        self._report: Report | None = None
        self._expected: _Expected | None = None
        self._expected_s = 0.0

    def begin(self, trained: OpenWindow, progress: float, *, steps: int = 0) -> None:
        """Begin with the first epoch of a run, or again after its first step.

        Args:
            trained: A window that began with it.
            progress: Part of the training (0 to 1) that was done before.
            steps: Steps of this run that were done before.
        """
        self._kwh, self._seconds = Laps(progress), Laps(progress)
        self._own = self._before = Point(0.0, 0.0, 0.0)
        self._all_before = (0.0, 0.0)
        self._expected = None
        self.steps.open(trained, progress, steps)

    def note_own(self, report: Report, trained: Report | None) -> None:
        """Keep the totals of this rank.

        Args:
            report: Its run so far.
            trained: The part since the first epoch began.
        """
        self._report = report
        if trained is not None:
            self._own = Point(0.0, trained.window.joules, trained.duration_s)

    def of(
        self, ranks: RankTotals, so_far: TrainingTotals, progress: Progress
    ) -> TrainingForecast | None:
        """Return the totals that are expected at the end of the training; None where that is unknown.

        Args:
            ranks: Totals of all ranks.
            so_far: The same with earlier segments.
            progress: Progress of the training.
        """
        done_kwh, done_kg = so_far.all_segments_kwh, so_far.all_segments_kg
        if progress.fraction is None or done_kwh is None or done_kg is None:
            return None
        is_over = progress.fraction >= 1.0
        is_old = ranks.trained_s - self._expected_s > _EVERY_S
        if self._expected is None or is_old or is_over:
            self._expected = self._forecast(progress.fraction, ranks, so_far)
            self._expected_s = ranks.trained_s
        if self._expected is None:
            return None
        kwh, trained_s, energy, emissions = self._expected
        left = Forecast(*(max(0.0, figure - ranks.trained_kwh) for figure in kwh))
        each_kg = so_far.kg_per_kwh or 0.0
        stopped = None
        if (progress.patience_used or 0.0) >= _PATIENCE_USED:
            now = self._factors(so_far, 0.0, 0.0)[0]
            stopped = with_error(Forecast(done_kwh, done_kwh, done_kwh), now)
        return TrainingForecast(
            with_error(Forecast(*(done_kwh + figure for figure in left)), energy),
            with_error(Forecast(*(done_kg + figure * each_kg for figure in left)), emissions),
            max(0.0, trained_s - ranks.trained_s),
            stopped,
        )

    def _forecast(
        self, fraction: float, ranks: RankTotals, so_far: TrainingTotals
    ) -> _Expected | None:
        """Return what is expected since the first epoch; None before the first lap."""
        self._add_laps(fraction, ranks)
        if ranks.trained_s < _LEAST_S and fraction < 1.0:
            return None
        warm_up = min(_MOST_WARM_UP, _WARM_UP_S / max(_WARM_UP_S, ranks.trained_s))
        kwh, seconds = self._kwh.forecast(warm_up), self._seconds.forecast(warm_up)
        if kwh is None or seconds is None:
            return None
        left_kwh, left_s = kwh.value - ranks.trained_kwh, seconds.value - ranks.trained_s
        return _Expected(kwh, seconds.value, *self._factors(so_far, left_kwh, left_s))

    def _add_laps(self, fraction: float, ranks: RankTotals) -> None:
        """Add the laps until now.

        Of those at steps only the energy of this rank is known. They divide that of all ranks alike.
        """
        (_, before_j, before_s), own = self._before, self._own
        kwh, seconds = self._all_before
        per_joule = _ratio(ranks.trained_kwh - kwh, own.joules - before_j)
        per_second = _ratio(ranks.trained_s - seconds, own.seconds - before_s)
        for point in self.steps.taken():
            if point.progress < fraction and own.joules > before_j:
                self._kwh.add(point.progress, kwh + per_joule * (point.joules - before_j))
                self._seconds.add(point.progress, seconds + per_second * (point.seconds - before_s))
        self._kwh.add(fraction, ranks.trained_kwh)
        self._seconds.add(fraction, ranks.trained_s)
        self._before, self._all_before = own, (ranks.trained_kwh, ranks.trained_s)

    def _factors(
        self, so_far: TrainingTotals, left_kwh: float, left_s: float
    ) -> tuple[Factors, Factors]:
        """Return the intervals of energy and emissions of all runs and ranks, if this run continues.

        Args:
            so_far: Totals of all ranks and earlier segments.
            left_kwh: Energy that the run still needs, on all ranks.
            left_s: The seconds that it takes.
        """
        from carbon_core import emissions_of_segments, energy_of_segments

        if self._report is None:
            return Factors(), Factors()
        own = self._report.stretched(self._report.duration_s + max(0.0, left_s)).segment
        growth = 1.0 + _ratio(max(0.0, left_kwh), so_far.energy_kwh)
        runs = (own if one.run_id == own.run_id else one for one in so_far.runs)
        parts = (*so_far.earlier, *(_grown(one, growth) for one in runs))
        return _ends(energy_of_segments(parts)), _ends(emissions_of_segments(parts))


def with_error(forecast: Forecast, factors: Factors) -> Forecast:
    """Return a forecast whose interval contains errors of measurement: logarithms in quadrature.

    Args:
        forecast: What is expected of the measured total.
        factors: The interval of a total that is measured.
    """
    from carbon_core import Estimate, in_quadrature

    return Forecast(*in_quadrature(Estimate(*forecast), *factors))


def factors_of(report: Report, duration_s: float) -> tuple[Factors, Factors]:
    """Return the intervals of energy and emissions of a run, if it took some time.

    Args:
        report: The run so far.
        duration_s: That time in seconds.
    """
    whole = report.stretched(duration_s)
    return _ends(whole.energy_kwh), _ends(whole.emissions_kg)


def _grown(segment: Segment, growth: float) -> Segment:
    """Return a segment with a multiple of its energy, as uncertain as before."""
    energy_sd = segment.energy_sd_kwh
    return segment._replace(
        energy_kwh=growth * segment.energy_kwh,
        emissions_kg=growth * segment.emissions_kg,
        energy_sd_kwh=None if energy_sd is None else _multiple(energy_sd, growth),
        intensity_sd_kg=_multiple(segment.intensity_sd_kg, growth),
        foreign_kwh=growth * segment.foreign_kwh,
    )


def _multiple(of: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: factor * value for name, value in of.items()}


def _ends(estimate: Estimate) -> Factors:
    value, low, high = estimate
    return Factors(_ratio(low, value), _ratio(high, value))


def _ratio(value: float, of: float) -> float:
    """Return a quotient; 1 where there is nothing to divide by."""
    return value / of if of > 0 else 1.0
