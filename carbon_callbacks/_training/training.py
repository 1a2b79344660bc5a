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
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from carbon_callbacks._training.course import NOTHING_KNOWN, Course
from carbon_callbacks._training.devices import drain_devices
from carbon_callbacks._training.improvement import Improvement
from carbon_callbacks._training.metrics import (
    Figures,
    Progress,
    Share,
    figures_of,
    of_window,
    summed,
)
from carbon_callbacks._training.ranks import Ranks
from carbon_core import (
    ConfigError,
    EmissionsTracker,
    OpenWindow,
    Parts,
    Report,
    Segment,
    segments_of,
    state_of,
    status_of,
)


class _TrainingTracker(EmissionsTracker):
    """A tracker whose runs begin in the phase before the first batch.

    Attributes:
        sync: Whether the devices' queues are waited for where a phase ends.
    """

    _first_phase = "setup"
    sync = True

    def make_parts(self, run_id: str) -> Parts:
        parts = super().make_parts(run_id)
        return replace(parts, facts=replace(parts.facts, phases_synced=self.sync))


class Training:
    """One callback's view of the training that it watches.

    Attributes:
        tracker: What measures.
        name: Tells this callback from others: in checkpoints, and to the other ranks.
        may_stop: Whether the settings have a budget that ends the training.
        improvement_of: The metric whose improvement is compared with the energy, or None.
        stands_aside: Whether another callback measures this training, so that this one does nothing.

    Args:
        name: As above; the project's name by default.
        forecast: Whether the metrics hold a forecast.
        sync: Whether to wait for the devices' queues where a phase ends.
        improvement_of: The metric whose improvement is compared with the energy.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        **overrides: Settings of the tracker.

    Raises:
        ConfigError: An argument is wrong; before training starts.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        forecast: bool = True,
        sync: bool = True,
        improvement_of: str | None = None,
        improvement_mode: str = "min",
        **overrides: Any,
    ) -> None:
        if improvement_mode not in ("min", "max"):
            raise ConfigError(f"improvement_mode must be 'min' or 'max', got {improvement_mode!r}")
        self.tracker = _TrainingTracker(**overrides)
        self.tracker.sync = sync
        self.improvement_of = improvement_of
        self._upwards = improvement_mode == "max"
        settings = self.tracker.settings
        self.name = name or settings.project_name
        limits = settings.budget_kwh, settings.budget_kg_co2e
        self.may_stop = any(limits) and settings.on_budget == "stop"
        self.stands_aside = False
        self._forecasts = forecast
        self._trained: Report | None = None
        self._restored: tuple[Segment, ...] = ()
        self._ranks = Ranks()
        self._course = Course()

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
        """The totals of the run that ended last."""
        return self.tracker.final_report

    def report_of_training(self) -> Report | None:
        """Return the totals of the training that goes on, or ended last: no evaluation's."""
        if self.running and not self._course.alone:
            return self.tracker.report()
        return self._trained

    # --- its life --------------------------------------------------------------------------------

    def begin(self, *, resumes: bool = False, alone: bool = True) -> None:
        """A run begins; one that never ended (the framework told nobody) is closed first.

        Args:
            resumes: Whether it continues what was restored; that is forgotten otherwise.
            alone: Whether it asks nothing of other ranks; if not, every rank comes here.
        """
        if self.stands_aside:
            return
        with self.guard():
            if self.running:
                self.end("interrupted")
            self._course = Course("setup", improvement=Improvement(upwards=self._upwards))
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
        if name != self._course.phase and self.running and not self._course.alone:
            with self.guard():
                self._drain()
                self.tracker.mark(name)
                self._course.phase = name

    @contextlib.contextmanager
    def alone(self, phase: str, *, ranks: int = 1) -> Iterator[None]:
        """Enter a phase for a block; outside of a training, the block is a run of its own.

        Args:
            phase: Its name outside of a training; within one it is validation.
            ranks: How many ranks enter the block.
        """
        if self.active:
            self.phase("validate")
            yield
            return
        self.begin(alone=ranks == 1)
        self.phase(phase)
        self._course.alone = True
        with self.closing():
            yield
        self.end()

    @contextlib.contextmanager
    def closing(self) -> Iterator[None]:
        """End what goes on when the block raises."""
        try:
            yield
        except BaseException as error:
            self.end(status_of(error))
            raise

    def epoch_begin(self, fraction: float | None = None) -> None:
        """An epoch of training begins.

        Args:
            fraction: Part of the training (0 to 1) that was done before.
        """
        self.phase("train")
        with self.guard():
            self._course.learn_from(self.tracker, fraction)

    def epoch_end(self, progress: Progress = NOTHING_KNOWN) -> Figures:
        """An epoch ended; return the totals so far and the epoch's own, by metric name."""
        with self.guard():
            epoch, self._course.epoch = self._course.epoch, None
            self._course.epoch_figures = self._closed(epoch)
        return self.metrics(progress)

    def window_metrics(self, window: OpenWindow | None, prefix: str) -> Figures:
        """Close a window; return what all ranks took within it.

        Every rank comes here; one without a window adds nothing.

        Args:
            window: A window of the tracker.
            prefix: Is put before the metrics' names.
        """
        own: Figures = {}
        with self.guard():
            own = self._closed(window)
        with self.guard():  # apart, for the other ranks wait for this one
            return of_window(summed(self._ranks.gather(own)), prefix)
        return {}

    def improve(self, metrics: Mapping[str, Any] | None) -> None:
        """Look whether the metric that is asked for is among some, and has become better."""
        if self.improvement_of and metrics and self.improvement_of in metrics:
            with self.guard():
                self._course.improvement.note(float(metrics[self.improvement_of]))

    def metrics(self, progress: Progress = NOTHING_KNOWN, *, phases: bool = False) -> Figures:
        """Return the totals so far, of all ranks together, by metric name.

        Args:
            progress: How far the training has come.
            phases: Whether to add what each phase took, as far as they have ended.
        """
        self._course.progress = progress
        share = Share({}, {}, {})
        with self.guard():
            share = self._course.share(self.tracker)
        with self.guard():  # apart from the share, for the other ranks wait for this one
            together = self._course.together(self._ranks.gather(share), self.tracker.run_id)
            self.tracker.note_others([one.own for one in self._course.others if one.own])
            figures = self._course.metrics(together, forecast=self._forecasts)
            return {**figures, **together.phases} if phases else figures
        return {}

    def final_metrics(self) -> Figures:
        """Return the totals of the training that ended last, of all ranks together, by metric name."""
        with self.guard():
            return self._course.final_metrics(self.report)
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
                    self._drain()
                self.tracker.stop(status)
            if not self._course.alone:
                self._trained = self.report
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

    # --- within it -------------------------------------------------------------------------------

    def _drain(self) -> None:
        if self.tracker.sync:
            drain_devices()

    def _closed(self, window: OpenWindow | None) -> Figures:
        """Close a window, once the devices have done what was asked of them; return its figures."""
        if window is None:
            return {}
        self._drain()
        window.close()
        return figures_of(window.report())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_course": Course(), "_ranks": Ranks(), "_restored": ()}
