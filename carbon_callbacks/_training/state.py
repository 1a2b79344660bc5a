"""The state of a running training, and the metrics that are logged from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from carbon_callbacks._training.improvement import Improvement
from carbon_callbacks._training.logged import LoggedMetrics
from carbon_callbacks._training.metrics import (
    across_ranks,
    of_phases,
    of_report,
    of_training,
    of_window,
)
from carbon_callbacks._training.total_forecast import TotalForecast
from carbon_callbacks._training.totals import (
    Figures,
    Progress,
    RankTotals,
    TrainingTotals,
    unique_gpus,
)

if TYPE_CHECKING:
    from carbon_core import OpenWindow, Report, Segment, Tracker, Work

UNKNOWN_PROGRESS = Progress()


@dataclass
class TrainingState:
    """State of a running training.

    Attributes:
        phase: The current phase; an empty string outside of any training.
        standalone: Whether this is an evaluation or a prediction outside of a training, with one phase.
        others: Totals of the other ranks, as last received.
        own: This rank's run as a segment, as last reported; None where it measures nothing.
        progress: Its progress, as last reported.
        improvement: Energy for each unit by which a metric has improved.
        logged: The metrics that were logged last.
        epoch: The window of the current epoch.
        epoch_figures: Metrics of the latest epoch, once it has ended.
        windows: Metrics of the latest evaluations, by prefix.
        provisional: Windows of these whose readings were late, by prefix; an empty one for the epoch.
        trained: The window since the first epoch began, or since its first step, where that is known.
        forecast: Its forecast.
    """

    phase: str = ""
    standalone: bool = False
    others: Sequence[RankTotals] = ()
    own: Segment | None = None
    progress: Progress = UNKNOWN_PROGRESS
    improvement: Improvement = field(default_factory=Improvement)
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)
    epoch: OpenWindow | None = None
    epoch_figures: Figures = field(default_factory=dict)
    windows: dict[str, Figures] = field(default_factory=dict)
    provisional: dict[str, OpenWindow] = field(default_factory=dict)
    trained: OpenWindow | None = None
    forecast: TotalForecast = field(default_factory=TotalForecast)

    def begin_epoch(self, tracker: Tracker, fraction: float | None) -> None:
        """Open the window of an epoch, and that of all epochs if it is the first."""
        self.improvement.begin_epoch(self.logged.names)
        self.epoch = tracker.window("epoch", at_once=True)
        if self.trained is None:
            self.trained = tracker.window("trained", at_once=True)
            self.forecast.begin(self.trained, fraction or 0.0)

    def first_step_done(self, tracker: Tracker, fraction: float | None) -> None:
        """Begin the laps of the forecast after the first step, which may have compiled the model.

        Args:
            tracker: The tracker of the run.
            fraction: Part of the training (0 to 1) that is done; None where that is unknown.
        """
        if self.trained is not None:
            self.trained = tracker.window("trained", at_once=True)
            before = self.forecast.steps.first_progress
            self.forecast.begin(self.trained, before if fraction is None else fraction, steps=1)

    def note_window(self, window: OpenWindow, prefix: str = "") -> None:
        """Keep the metrics of a window that has ended; those of a late reading until the next log.

        Args:
            window: The window.
            prefix: Of the evaluation that it is of; an empty string for an epoch.
        """
        report = window.report()
        figures = of_report(report)
        if prefix:
            self.windows[prefix] = figures
        else:
            self.epoch_figures = figures
        if report is not None and report.provisional:
            self.provisional[prefix] = window
        else:
            self.provisional.pop(prefix, None)

    def own_totals(self, report: Report | None) -> RankTotals:
        """Return the totals of this rank.

        Args:
            report: Results of its run, so far or at its end.
        """
        for prefix, window in list(self.provisional.items()):
            self.note_window(window, prefix)
        totals = of_report(report)
        epoch = self.epoch_figures
        # A log between the last step of an epoch and its end is of that epoch, too.
        if self.epoch is not None and report is not None:
            epoch = of_report(self.epoch.report(report.window.end))
        self.own = report.segment if report is not None and totals else None
        trained = None
        if self.trained is not None and report is not None:
            trained = self.trained.report(report.window.end)
        if report is not None:
            self.forecast.note_own(report, trained)
        return RankTotals(
            totals,
            epoch,
            of_phases(report),
            trained.hardware_kwh * trained.run.pue if trained is not None else 0.0,
            trained.duration_s if trained is not None else 0.0,
            self.own,
            report.earlier if report is not None else (),
            self.windows,
            unique_gpus(report),
            report is not None and not report.is_known,
        )

    def combine(self, own: RankTotals, others: Iterable[RankTotals]) -> RankTotals:
        """Return the totals of all ranks, and keep those of the others.

        Args:
            own: Totals of this rank.
            others: Totals of the other ranks, as far as they were received.
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

    def metrics(self, ranks: RankTotals, *, forecast: bool) -> Figures:
        """Return the metrics so far.

        Args:
            ranks: Totals of all ranks.
            forecast: Whether to forecast the whole training.
        """
        training = TrainingTotals(ranks.totals, ranks.epoch, ranks.earlier, self.progress)
        training = training._replace(runs=self._runs(self.own))
        improved = self.improvement.energy_per_unit_kwh(ranks.totals.get("energy_kwh"))
        expected = self.forecast.of(ranks, training, self.progress) if forecast else None
        return of_training(
            training._replace(forecast=expected, energy_per_improvement_kwh=improved)
        )

    def final_metrics(self, report: Report | None) -> Figures:
        """Return the metrics of a run that has ended, and the energy of each phase."""
        totals = across_ranks([of_report(report), *(one.totals for one in self.others)])
        earlier = report.earlier if report else ()
        phases = across_ranks([of_phases(report), *(one.phases for one in self.others)])
        own = report.segment if report is not None and of_report(report) else None
        runs = self._runs(own)
        final = TrainingTotals(totals, earlier=earlier, runs=runs, progress=self.progress)
        return {**of_training(final), **phases}

    def work(self) -> Work:
        """Return the amount of work of this run, as far as it was counted."""
        from carbon_core import Work

        done = self.progress
        steps = self.forecast.steps.count or None
        return Work.plausible(steps, done.samples, done.tokens, done.flops)

    def dataset_samples(self) -> float | None:
        """Return the samples of the training data, as far as their number is known and plausible."""
        from carbon_core import Work

        return Work.plausible(None, self.progress.dataset_samples).samples

    def _runs(self, own: Segment | None) -> tuple[Segment, ...]:
        """Return the segments of this run of all ranks, of which one is this rank's own."""
        return tuple(one for one in (own, *(rank.own for rank in self.others)) if one is not None)

    def of_evaluation(self, prefix: str) -> Figures:
        """Return the metrics of the latest evaluation with a prefix, combined over the ranks."""
        ranks = [self.windows, *(rank.windows for rank in self.others)]
        return of_window(across_ranks(windows.get(prefix, {}) for windows in ranks), prefix)
