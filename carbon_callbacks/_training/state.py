"""What is known of a training that is running, and the figures that are logged from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from carbon_callbacks._training.forecast import Forecast, Laps
from carbon_callbacks._training.improvement import Improvement
from carbon_callbacks._training.metrics import (
    EPOCH_PREFIX,
    Figures,
    Progress,
    RankTotals,
    across_ranks,
    figures_of,
    kg_per_kwh,
    of_all_starts,
    of_phases,
    of_window,
    of_work,
)
from carbon_core import OpenWindow, Report, Segment, Tracker

NOTHING_KNOWN = Progress()
# A forecast takes as long as all else that is logged; at many logs a second it hardly changes.
_FORECAST_EVERY_S = 0.25


@dataclass
class TrainingState:
    """What is known of a training that is running.

    Attributes:
        phase: The current phase; an empty string outside of any training.
        standalone: Whether this is only an evaluation or a prediction, which has one phase.
        others: Totals of the other ranks, as received last.
        progress: How far it has come, as reported last.
        improvement: Energy for each unit by which a metric has improved.
        epoch: The window of the current epoch.
        epoch_figures: Figures of the latest finished epoch.
        windows: Figures of the latest evaluations, by prefix.
        trained: The window since the first epoch began.
        kwh: Energy of `trained` by progress.
        seconds: Time of `trained` by progress.
        forecast: The latest forecast of energy and time.
        forecast_s: Seconds of `trained` at which it was made.
    """

    phase: str = ""
    standalone: bool = False
    others: Sequence[RankTotals] = ()
    progress: Progress = NOTHING_KNOWN
    improvement: Improvement = field(default_factory=Improvement)
    epoch: OpenWindow | None = None
    epoch_figures: Figures = field(default_factory=dict)
    windows: dict[str, Figures] = field(default_factory=dict)
    trained: OpenWindow | None = None
    kwh: Laps = field(default_factory=lambda: Laps(0.0))
    seconds: Laps = field(default_factory=lambda: Laps(0.0))
    forecast: tuple[Forecast | None, Forecast | None] | None = None
    forecast_s: float = 0.0

    def begin_epoch(self, tracker: Tracker, fraction: float | None) -> None:
        """Open the window of an epoch, and that of all epochs if it is the first."""
        self.epoch = tracker.window("epoch")
        if self.trained is None:
            self.trained = tracker.window("trained")
            self.kwh, self.seconds = Laps(fraction or 0.0), Laps(fraction or 0.0)

    def own_totals(self, report: Report | None) -> RankTotals:
        """Return what this rank has measured.

        Args:
            report: The totals of its run, so far or at its end.
        """
        totals = figures_of(report)
        trained = None
        if self.trained is not None and report is not None:
            trained = self.trained.report(report.window.end)
        return RankTotals(
            totals,
            self.epoch_figures,
            of_phases(report),
            trained.hardware_kwh * trained.run.pue if trained is not None else 0.0,
            trained.duration_s if trained is not None else 0.0,
            report.segment if report is not None and totals else None,
            report.earlier if report is not None else (),
            self.windows,
        )

    def together(self, own: RankTotals, others: Iterable[RankTotals]) -> RankTotals:
        """Return the totals of all ranks; note those of the others.

        Args:
            own: Totals of this rank.
            others: Totals of the others, as far as they are known.
        """
        self.others = list(others)
        if not self.others:
            return own
        ranks = [own, *self.others]
        segments: dict[str, Segment] = {one.run_id: one for rank in ranks for one in rank.earlier}
        for rank in ranks:
            if rank.own is not None:
                segments.pop(rank.own.run_id, None)
        return RankTotals(
            across_ranks(rank.totals for rank in ranks),
            across_ranks(rank.epoch for rank in ranks),
            across_ranks(rank.phases for rank in ranks),
            sum(rank.trained_kwh for rank in ranks),
            max(rank.trained_s for rank in ranks),
            earlier=tuple(segments.values()),
        )

    def metrics(self, totals: RankTotals, *, forecast: bool) -> Figures:
        """Return what is logged.

        Args:
            totals: Totals of all ranks.
            forecast: Whether to forecast the whole training.
        """
        all_starts = of_all_starts(totals.totals, totals.earlier)
        return {
            **totals.totals,
            **of_window(totals.epoch, EPOCH_PREFIX),
            **all_starts,
            **of_work(totals.totals, self.progress),
            **self.improvement.figures(totals.totals.get("energy_kwh")),
            **(self._forecast(totals, all_starts) if forecast else {}),
        }

    def final_metrics(self, report: Report | None) -> Figures:
        """Return what is logged once the run has ended."""
        totals = across_ranks([figures_of(report), *(one.totals for one in self.others)])
        return {
            **totals,
            **across_ranks([of_phases(report), *(one.phases for one in self.others)]),
            **of_all_starts(totals, report.earlier if report else ()),
            **of_work(totals, self.progress),
        }

    def of_evaluation(self, prefix: str) -> Figures:
        """Return the figures of the latest evaluation with a prefix, of all ranks together."""
        ranks = [self.windows, *(rank.windows for rank in self.others)]
        return of_window(across_ranks(windows.get(prefix, {}) for windows in ranks), prefix)

    def _forecast(self, totals: RankTotals, so_far: Figures) -> Figures:
        """Return what the whole training will have consumed at its end."""
        fraction = self.progress.fraction
        if fraction is None or not so_far:
            return {}
        if totals.trained_s - self.forecast_s > _FORECAST_EVERY_S or self.forecast is None:
            self.kwh.add(fraction, totals.trained_kwh)
            self.seconds.add(fraction, totals.trained_s)
            self.forecast, self.forecast_s = (
                (self.kwh.forecast(), self.seconds.forecast()),
                totals.trained_s,
            )
        kwh, seconds = self.forecast
        if kwh is None or seconds is None:
            return {}
        done_kwh, done_kg = so_far["all_starts_energy_kwh"], so_far["all_starts_emissions_kg"]
        value, low, high = (max(0.0, figure - totals.trained_kwh) for figure in kwh)
        return {
            "forecast_energy_kwh": done_kwh + value,
            "forecast_energy_low_kwh": done_kwh + low,
            "forecast_energy_high_kwh": done_kwh + high,
            "forecast_emissions_kg": done_kg + value * kg_per_kwh(totals.totals),
            "forecast_left_s": max(0.0, seconds.value - totals.trained_s),
        }
