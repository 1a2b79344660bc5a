"""A training's life, told by hooks and turned into marks, figures and segments.

    idle ──begin()──▶ running ──end(status)──▶ idle
                        │ phase(name)      cuts the run: setup, train, validate, checkpoint …
                        │ epoch_begin()    opens a window
                        │ epoch_end()      closes it; every rank comes here; gives the metrics to log
                        │ metrics()        totals so far; every rank comes here, too
                        │ state()          the segments so far, for a checkpoint
    restore(state), before begin() or within ──▶ what the run continues

No method raises, and none blocks the training thread for longer than the tracker does; with several
ranks, for as long as they are apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from carbon_callbacks._training.devices import drain_devices
from carbon_callbacks._training.forecast import Laps
from carbon_callbacks._training.metrics import (
    Figures,
    Progress,
    Share,
    figures_of,
    kg_per_kwh,
    of_all_starts,
    of_epoch,
    of_work,
    summed,
)
from carbon_callbacks._training.ranks import Ranks
from carbon_core import EmissionsTracker, OpenWindow, Report, Segment, segments_of, state_of

_NOTHING_KNOWN = Progress()


class _TrainingTracker(EmissionsTracker):
    """A tracker whose runs begin in the phase before the first batch."""

    _first_phase = "setup"


@dataclass
class _Course:
    """What is known of a training that goes on.

    Attributes:
        phase: The phase that it is in; an empty string outside of any training.
        others: Totals of the other ranks, as they told them last.
        epoch: The window of the present epoch.
        epoch_figures: Figures of the epoch that ended last.
        trained: The window since the first epoch began.
        kwh: Energy of `trained` by progress.
        seconds: Time of `trained` by progress.
    """

    phase: str = ""
    others: list[Figures] = field(default_factory=list)
    epoch: OpenWindow | None = None
    epoch_figures: Figures = field(default_factory=dict)
    trained: OpenWindow | None = None
    kwh: Laps = field(default_factory=lambda: Laps(0.0))
    seconds: Laps = field(default_factory=lambda: Laps(0.0))


class Training:
    """One callback's view of the training that it watches.

    Attributes:
        tracker: What measures.
        name: Tells this callback from others: in checkpoints, and to the other ranks.
        may_stop: Whether the settings have a budget that ends the training.

    Args:
        name: As above; the project's name by default.
        forecast: Whether the metrics hold a forecast.
        **overrides: Settings of the tracker.

    Raises:
        ConfigError: An argument is wrong; before training starts.
    """

    def __init__(self, name: str | None = None, *, forecast: bool = True, **overrides: Any) -> None:
        self.tracker = _TrainingTracker(**overrides)
        settings = self.tracker.settings
        self.name = name or settings.project_name
        limits = settings.budget_kwh, settings.budget_kg_co2e
        self.may_stop = any(limits) and settings.on_budget == "stop"
        self._forecasts = forecast
        self._restored: tuple[Segment, ...] = ()
        self._ranks = Ranks()
        self._course = _Course()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep a fault of ours, or of a logger that we call, out of the training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the guard of the training thread
            self.tracker.complain(f"a hook failed: {error!r}")

    @property
    def active(self) -> bool:
        """Whether a training goes on, as the framework tells it: measured or not."""
        return bool(self._course.phase)

    @property
    def running(self) -> bool:
        """Whether a training is being measured."""
        return self.tracker.running

    @property
    def report(self) -> Report | None:
        """The totals of the training that ended last."""
        return self.tracker.final_report

    # --- its life --------------------------------------------------------------------------------

    def begin(self, *, resumes: bool = False, alone: bool = True) -> None:
        """A run begins; one that never ended (the framework told nobody) is closed first.

        Args:
            resumes: Whether it continues what was restored; that is forgotten otherwise.
            alone: Whether it asks nothing of other ranks; if not, every rank comes here.
        """
        with self.guard():
            if self.running:
                self.end("interrupted")
            self._course = _Course("setup")
            restored, self._restored = self._restored if resumes else (), ()
            self.tracker.start()
            self.tracker.continue_from(restored)
        with self.guard():
            self._ranks = Ranks()
            if not alone and not self._ranks.meet(self.name):
                self.tracker.complain(
                    "not every rank has this callback (or one was late); each counts on its own, "
                    "and a budget stops none of them"
                )

    def phase(self, name: str) -> None:
        """Another phase begins: what the devices still have queued belongs to the one before."""
        if name != self._course.phase and self.running:
            with self.guard():
                drain_devices()
                self.tracker.mark(name)
                self._course.phase = name

    def epoch_begin(self, fraction: float | None = None) -> None:
        """An epoch of training begins.

        Args:
            fraction: Part of the training (0 to 1) that was done before.
        """
        self.phase("train")
        with self.guard():
            course = self._course
            course.epoch = self.tracker.window("epoch")
            if course.trained is None:
                course.trained = self.tracker.window("trained")
                course.kwh, course.seconds = Laps(fraction or 0.0), Laps(fraction or 0.0)

    def epoch_end(self, progress: Progress = _NOTHING_KNOWN) -> Figures:
        """An epoch ended; return the totals so far and the epoch's own, by metric name."""
        with self.guard():
            drain_devices()
            epoch, self._course.epoch = self._course.epoch, None
            if epoch is not None:
                epoch.close()
                self._course.epoch_figures = figures_of(epoch.report())
        return self.metrics(progress)

    def metrics(self, progress: Progress = _NOTHING_KNOWN) -> Figures:
        """Return the totals so far, of all ranks together, by metric name.

        Args:
            progress: How far the training has come.
        """
        share = Share({}, {})
        with self.guard():
            share = self._share()
        with self.guard():  # apart from the share, for the other ranks wait for this one
            together = self._together(self._ranks.gather(share))
            return self._metrics_of(together, progress)
        return {}

    def final_metrics(self) -> Figures:
        """Return the totals of the training that ended last, of all ranks together, by metric name."""
        with self.guard():
            report = self.report
            totals = summed([figures_of(report), *self._course.others])
            return {**totals, **of_all_starts(totals, report.earlier if report else ())}
        return {}

    def end(self, status: str = "completed") -> None:
        """The training ended; nothing happens when none was going on.

        Args:
            status: ``completed`` where every rank comes here.
        """
        if status == "completed" and self._ranks.agreed:
            self.metrics()  # so that this run's receipt knows what the others came to
        if self.running:
            with self.guard():
                if status == "completed":
                    drain_devices()
                self.tracker.stop(status)
        self._ranks.agreed = False
        self._course.phase = ""

    # --- its budget ------------------------------------------------------------------------------

    def should_stop(self) -> bool:
        """Return whether the budget is used up; cheap at every step on one rank.

        With several ranks each of them must come here.
        """
        return self._ranks.any(self.may_stop and self.tracker.over_budget)

    # --- its segments ----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the training so far as plain types, to be kept in a checkpoint; {} if there is none."""
        with self.guard():
            segments = self.tracker.segments
            return state_of(segments) if segments else {}
        return {}

    def restore(self, state: Any) -> None:
        """Take what a checkpoint holds: for the run that begins next, or for the one that goes on."""
        with self.guard():
            try:
                segments = segments_of(state)
            except ValueError as error:
                self.tracker.complain(f"the checkpoint is of no use: {error}")
                return
            if self.running:
                self.tracker.continue_from(segments)
            else:
                self._restored = segments

    def continue_last(self) -> None:
        """The run that goes on continues the training of its project that ended here last."""
        self.tracker.continue_last()

    def forget_restored(self) -> None:
        """Nothing that was restored before concerns what begins next."""
        self._restored = ()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_course": _Course(), "_ranks": Ranks(), "_restored": ()}

    # --- its figures -----------------------------------------------------------------------------

    def _share(self) -> Share:
        report = self.tracker.report()
        totals = figures_of(report)
        window = self._course.trained
        trained = window.report() if window is not None else None
        return Share(
            totals,
            self._course.epoch_figures,
            trained.energy_kwh.value if trained is not None else 0.0,
            trained.duration_s if trained is not None else 0.0,
            report.segment if report is not None and totals else None,
            report.earlier if report is not None else (),
        )

    def _together(self, shares: list[Share]) -> Share:
        """Return what all ranks' shares come to."""
        own = self.tracker.run_id
        self._course.others = [
            share.totals for share in shares if share.own is not None and share.own.run_id != own
        ]
        segments = [share.own for share in shares if share.own is not None]
        self.tracker.note_others([one for one in segments if one.run_id != own])
        ids: dict[str, Segment] = {one.run_id: one for share in shares for one in share.earlier}
        for segment in segments:
            ids.pop(segment.run_id, None)
        return Share(
            summed(share.totals for share in shares),
            summed(share.epoch for share in shares),
            sum(share.trained_kwh for share in shares),
            max(share.trained_s for share in shares),
            earlier=tuple(ids.values()),
        )

    def _metrics_of(self, share: Share, progress: Progress) -> Figures:
        all_starts = of_all_starts(share.totals, share.earlier)
        return {
            **share.totals,
            **of_epoch(share.epoch),
            **all_starts,
            **of_work(share.totals, progress),
            **self._forecast(share, all_starts, progress.fraction),
        }

    def _forecast(self, share: Share, so_far: Figures, fraction: float | None) -> Figures:
        """Return what the whole training will have taken at its end."""
        course = self._course
        if not self._forecasts or fraction is None or not so_far:
            return {}
        course.kwh.add(fraction, share.trained_kwh)
        course.seconds.add(fraction, share.trained_s)
        kwh, seconds = course.kwh.forecast(), course.seconds.forecast()
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
