"""What is known of a training that goes on, and what is logged of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from carbon_callbacks._training.forecast import Laps
from carbon_callbacks._training.improvement import Improvement
from carbon_callbacks._training.metrics import (
    EPOCH_PREFIX,
    Figures,
    Progress,
    Share,
    figures_of,
    kg_per_kwh,
    of_all_starts,
    of_phases,
    of_window,
    of_work,
    summed,
)
from carbon_core import OpenWindow, Report, Segment, Tracker

NOTHING_KNOWN = Progress()


@dataclass
class Course:
    """What is known of a training that goes on.

    Attributes:
        phase: The phase that it is in; an empty string outside of any training.
        alone: Whether it is but an evaluation or a prediction, which has one phase.
        others: What the other ranks took, as they told it last.
        progress: How far it has come, as it was told last.
        improvement: What the energy has bought, where that is asked for.
        epoch: The window of the present epoch.
        epoch_figures: Figures of the epoch that ended last.
        trained: The window since the first epoch began.
        kwh: Energy of `trained` by progress.
        seconds: Time of `trained` by progress.
    """

    phase: str = ""
    alone: bool = False
    others: list[Share] = field(default_factory=list)
    progress: Progress = NOTHING_KNOWN
    improvement: Improvement = field(default_factory=Improvement)
    epoch: OpenWindow | None = None
    epoch_figures: Figures = field(default_factory=dict)
    trained: OpenWindow | None = None
    kwh: Laps = field(default_factory=lambda: Laps(0.0))
    seconds: Laps = field(default_factory=lambda: Laps(0.0))

    def learn_from(self, tracker: Tracker, fraction: float | None) -> None:
        """Open the windows of an epoch that begins, and of all epochs if it is the first."""
        self.epoch = tracker.window("epoch")
        if self.trained is None:
            self.trained = tracker.window("trained")
            self.kwh, self.seconds = Laps(fraction or 0.0), Laps(fraction or 0.0)

    def share(self, tracker: Tracker) -> Share:
        """Return what this rank contributes to the figures."""
        report = tracker.report()
        totals = figures_of(report)
        trained = self.trained.report() if self.trained is not None else None
        return Share(
            totals,
            self.epoch_figures,
            of_phases(report),
            trained.energy_kwh.value if trained is not None else 0.0,
            trained.duration_s if trained is not None else 0.0,
            report.segment if report is not None and totals else None,
            report.earlier if report is not None else (),
        )

    def together(self, shares: Sequence[Share], own_id: str) -> Share:
        """Return what all ranks' shares come to; note those of the others.

        Args:
            shares: One of each rank.
            own_id: Id of this rank's own run.
        """
        self.others = [one for one in shares if one.own is not None and one.own.run_id != own_id]
        ids: dict[str, Segment] = {one.run_id: one for share in shares for one in share.earlier}
        for share in shares:
            if share.own is not None:
                ids.pop(share.own.run_id, None)
        return Share(
            summed(share.totals for share in shares),
            summed(share.epoch for share in shares),
            summed(share.phases for share in shares),
            sum(share.trained_kwh for share in shares),
            max(share.trained_s for share in shares),
            earlier=tuple(ids.values()),
        )

    def metrics(self, share: Share, *, forecast: bool) -> Figures:
        """Return what is logged.

        Args:
            share: What all ranks took together.
            forecast: Whether to foretell what the whole training will take.
        """
        all_starts = of_all_starts(share.totals, share.earlier)
        return {
            **share.totals,
            **of_window(share.epoch, EPOCH_PREFIX),
            **all_starts,
            **of_work(share.totals, self.progress),
            **self.improvement.figures(share.totals.get("energy_kwh")),
            **(self._forecast(share, all_starts) if forecast else {}),
        }

    def final_metrics(self, report: Report | None) -> Figures:
        """Return what is logged once this rank's run has ended, and nobody can be asked any more."""
        totals = summed([figures_of(report), *(one.totals for one in self.others)])
        return {
            **totals,
            **summed([of_phases(report), *(one.phases for one in self.others)]),
            **of_all_starts(totals, report.earlier if report else ()),
            **of_work(totals, self.progress),
        }

    def _forecast(self, share: Share, so_far: Figures) -> Figures:
        """Return what the whole training will have taken at its end."""
        fraction = self.progress.fraction
        if fraction is None or not so_far:
            return {}
        self.kwh.add(fraction, share.trained_kwh)
        self.seconds.add(fraction, share.trained_s)
        kwh, seconds = self.kwh.forecast(), self.seconds.forecast()
        if kwh is None or seconds is None:
            return {}
        done_kwh, done_kg = so_far["all_starts_energy_kwh"], so_far["all_starts_emissions_kg"]
        value, low, high = (max(0.0, figure - share.trained_kwh) for figure in kwh)
        return {
            "forecast_energy_kwh": done_kwh + value,
            "forecast_energy_low_kwh": done_kwh + low,
            "forecast_energy_high_kwh": done_kwh + high,
            "forecast_emissions_kg": done_kg + value * kg_per_kwh(share.totals),
            "forecast_left_s": max(0.0, seconds.value - share.trained_s),
        }
