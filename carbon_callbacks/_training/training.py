"""A training's life: hooks in, phases, figures and segments out.

    idle ──begin()──▶ running ──end(status)──▶ idle
                        │ phase(name)      cuts the run: setup, train, validate, checkpoint …
                        │ epoch_begin()    opens a window
                        │ epoch_end()      closes it
                        │ metrics()        totals so far
                        │ state()          the segments so far, for a checkpoint
    restore(state), before begin() or within ──▶ what the run continues

No method raises, none blocks the training thread for longer than the tracker does, and none waits for
another rank, except for a short time at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training import calls
from carbon_callbacks._training.calls import OnExit
from carbon_callbacks._training.devices import drain_devices
from carbon_callbacks._training.improvement import Improvement
from carbon_callbacks._training.metrics import (
    Figures,
    Progress,
    RankTotals,
    Selection,
    Topic,
    figures_of,
    never_less,
)
from carbon_callbacks._training.ranks import RankBoard
from carbon_callbacks._training.state import NOTHING_KNOWN, TrainingState
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

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_core import SettingArguments

# The meters are found before the first batch, whose time would be taken otherwise.
_PREPARE_PATIENCE_S = 1.0
_START_PATIENCE_S = 0.05
# Of many logs a second, not each needs a reading of its own.
_MAX_AGE_S = 0.1


class _TrainingTracker(EmissionsTracker):
    """A tracker whose runs begin in the phase before the first batch.

    Attributes:
        sync: Whether the devices' queues are waited for where a phase ends.
        trial: The trial of a search that the next run belongs to.
    """

    _first_phase = "setup"
    sync = True
    trial: str | None = None

    def make_parts(self, run_id: str) -> Parts:
        parts = super().make_parts(run_id)
        facts = replace(parts.facts, phases_synced=self.sync, trial=self.trial)
        return replace(parts, facts=facts, start_patience_s=_START_PATIENCE_S)


class Training:
    """Measures one training after the other; the adapters call it from their hooks.

    Attributes:
        name: Distinguishes this callback from others in checkpoints, and on other ranks.
        tracker: Measures; a run of it for each training.
        selection: The metrics that are logged.
        may_stop: Whether a budget is set that stops the training.
        improvement_of: The metric whose improvement is compared with the energy, or None.
        stands_aside: Whether another callback measures this training, so that this one does nothing.

    Args:
        name: Distinguishes this callback from others in checkpoints, and on other ranks; the project's
            name by default.
        metrics: What is logged: ``"brief"``, ``"all"``, or a list of names (docs/callbacks.md).
        forecast: Whether to forecast the energy of the whole training.
        sync: Whether to wait for the accelerator's queue where a phase ends.
        improvement_of: A metric, such as ``val_loss``: the energy for each unit by which it has improved
            is logged.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong; before training starts.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        metrics: str | Sequence[str] = "brief",
        forecast: bool = True,
        sync: bool = True,
        improvement_of: str | None = None,
        improvement_mode: str = "min",
        **overrides: Unpack[SettingArguments],
    ) -> None:
        if improvement_mode not in ("min", "max"):
            raise ConfigError(f"improvement_mode must be 'min' or 'max', got {improvement_mode!r}")
        self.selection = Selection(metrics)
        self.tracker = _TrainingTracker(**overrides)
        self.tracker.sync = sync
        self.improvement_of = improvement_of
        self._higher_is_better = improvement_mode == "max"
        settings = self.tracker.settings
        self.name = name or settings.project_name
        limits = settings.budget_kwh, settings.budget_kg_co2e
        self.may_stop = any(limits) and settings.on_budget == "stop"
        self.stands_aside = False
        self._forecasts = forecast
        self._trained: Report | None = None
        self._restored: tuple[Segment, ...] = ()
        self._board = RankBoard()
        self._logged: Figures = {}
        self._state = TrainingState()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep a fault of ours, or of a logger that we call, out of the training."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the guard of the training thread
            self.tracker.warn(f"a hook failed: {error!r}")

    @property
    def active(self) -> bool:
        """Whether a training is running, as the framework reports it: measured or not."""
        return bool(self._state.phase)

    @property
    def running(self) -> bool:
        """Whether a training is being measured."""
        return self.tracker.running

    @property
    def report(self) -> Report | None:
        """The totals of the latest finished run."""
        return self.tracker.final_report

    def report_of_training(self) -> Report | None:
        """Return the totals of the current or latest training: no evaluation's."""
        if self.running and not self._state.standalone:
            return self.tracker.report()
        return self._trained

    def metric_names(self, without: Sequence[Topic] = ()) -> list[str]:
        """Return the names of all metrics that `metrics` may hold.

        Args:
            without: Topics that the framework can never know.
        """
        unknown = set(without)
        if not self._forecasts:
            unknown.add("forecast")
        if not self.improvement_of:
            unknown.add("improvement")
        return self.selection.names(unknown)

    # --- its life --------------------------------------------------------------------------------

    def begin(
        self,
        *,
        resumes: bool = False,
        ranks: int = 1,
        kind: str = "train",
        trial: str | None = None,
        on_exit: OnExit | None = None,
    ) -> None:
        """Begin a run; one that never ended, without any hook saying so, is closed first.

        Args:
            resumes: Whether it continues what was restored; that is forgotten otherwise.
            ranks: How many ranks train together.
            kind: What begins: other ranks count the runs of a kind.
            trial: The trial of a search that it belongs to.
            on_exit: Is called when the framework's method ends that is running now; by default, a run
                that is not over then is ended.
        """
        if self.stands_aside:
            return
        with self.guard():
            if self.running:
                self.end("interrupted")
            improvement = Improvement(upwards=self._higher_is_better)
            self._state = TrainingState("setup", improvement=improvement)
            self._logged = {}
            restored, self._restored = self._restored if resumes else (), ()
            self.tracker.trial = trial
            self.tracker.prepare(_PREPARE_PATIENCE_S)
            self.tracker.start()
            self.tracker.continue_from(restored)
        call = calls.innermost()
        if call is not None:
            call.on_exit(on_exit or self.exit)
        with self.guard():
            self._board = RankBoard()
            if ranks > 1 and not self._board.open(self.name, kind, may_stop=self.may_stop):
                self._board.several = True
                self.tracker.warn(
                    "the other ranks cannot be reached, for torch.distributed is not initialised; "
                    "each rank counts on its own, and a budget stops none of them"
                )

    def prepare(self) -> None:
        """Load what a run needs: a training is being set up."""
        with self.guard():
            self.tracker.prepare()

    def phase(self, name: str) -> None:
        """Begin a phase: what the devices still have queued belongs to the one before."""
        if name != self._state.phase and self.running and not self._state.standalone:
            with self.guard():
                self._drain()
                self.tracker.mark(name)
                self._state.phase = name

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Be in a phase for a block, and then in the previous one again."""
        before = self._state.phase
        self.phase(name)
        yield
        if before:
            self.phase(before)

    @contextlib.contextmanager
    def evaluation(self, kind: str, *, ranks: int = 1) -> Iterator[None]:
        """Measure a block that evaluates; outside of a training, it is a run of its own.

        Args:
            kind: Its phase outside of a training; within one it is validation.
            ranks: How many ranks enter the block.
        """
        if self.active:
            with self.within("validate"):
                yield
            return
        self.begin(ranks=ranks, kind=kind)
        self.phase(kind)
        self._state.standalone = True
        try:
            yield
        except BaseException as error:
            self.exit(error)
            raise
        self.end()

    def epoch_begin(self, fraction: float | None = None) -> None:
        """Begin an epoch of training.

        Args:
            fraction: Part of the training (0 to 1) that was done before.
        """
        self.phase("train")
        with self.guard():
            self._state.begin_epoch(self.tracker, fraction)

    def epoch_end(self) -> None:
        """End an epoch of training."""
        with self.guard():
            epoch, self._state.epoch = self._state.epoch, None
            if epoch is not None:
                self._state.epoch_figures = self._closed(epoch)
            if self.may_stop:
                self.tracker.report()  # which compares the totals with the budget

    def window_metrics(self, window: OpenWindow, prefix: str, at: str) -> Figures:
        """Close a window and return its figures, of all ranks together.

        Args:
            window: A window of the tracker.
            prefix: Is put before the metrics' names.
            at: Which log this is, the same on all ranks.
        """
        with self.guard():
            self._state.windows[prefix] = self._closed(window)
            self._together(self._own_totals(_MAX_AGE_S), at)
            return self._agreed(at, self._state.of_evaluation(prefix))
        return {}

    def improve(self, metrics: Mapping[str, Any] | None) -> None:
        """Note the value of ``improvement_of``, if it is among some metrics."""
        if self.improvement_of and metrics and self.improvement_of in metrics:
            with self.guard():
                self._state.improvement.note(float(metrics[self.improvement_of]))

    def metrics(
        self,
        progress: Progress = NOTHING_KNOWN,
        at: str = "",
        *,
        within_epoch: bool = False,
        summary: bool = False,
    ) -> Figures:
        """Return every metric so far, of all ranks together, by name.

        Args:
            progress: How far the training has come.
            at: Which log this is, the same on all ranks; an empty string for none.
            within_epoch: Whether there may be many such logs, for which a recent reading is enough.
            summary: Whether to add the energy of each phase.
        """
        with self.guard():
            if progress is not NOTHING_KNOWN:
                self._state.progress = progress
            together = self._together(self._own_totals(_MAX_AGE_S if within_epoch else 0.0), at)
            figures = self._state.metrics(together, forecast=self._forecasts)
            if summary:
                figures = {**figures, **together.phases}
            return self._agreed(at, figures)
        return {}

    def final_metrics(self) -> Figures:
        """Return the totals of the latest finished training, of all ranks together, by metric name."""
        with self.guard():
            return self._state.final_metrics(self.report)
        return {}

    def end(self, status: str = "completed") -> None:
        """End the run; nothing happens without one.

        Args:
            status: How it ended; only a ``completed`` one waits for the other ranks' totals.
        """
        with self.guard():
            if status == "completed":
                self.settle_ranks("closing", closed=True)
            elif self._board.several:
                self._board.leave(self._own_totals())
            self._board.close()
        if self.running:
            with self.guard():
                if status == "completed":
                    self._drain()
                self.tracker.stop(status)
            if not self._state.standalone:
                self._trained = self.report
        self._state.phase = ""

    def settle_ranks(self, at: str, *, closed: bool = False) -> None:
        """Exchange totals with the other ranks at a point that all come to; waits a short time.

        Args:
            at: Which point this is.
            closed: Whether the training ends.
        """
        if not self._board.several or self._board.finished:
            return
        with self.guard():
            self._board.settle(at, self._own_totals, closed=closed)
            self._together(self._own_totals())
            if closed and self._board.missing:
                names = ", ".join(map(str, self._board.missing))
                self.tracker.warn(
                    f"no final totals from rank {names}: not every rank has this callback, or has "
                    "ended its training; what is known of them counts"
                )

    def exit(self, error: BaseException | None) -> None:
        """End a run that no hook has ended, as where its callback was removed, or with an exception."""
        if self.active:
            self.end(status_of(error) if error is not None else "interrupted")

    # --- its budget ------------------------------------------------------------------------------

    def should_stop(self, step: int = 0) -> bool:
        """Return whether the budget is used up; costs next to nothing at every step.

        Args:
            step: Steps since the run began; several ranks stop at the same one.
        """
        if not self.may_stop:
            return False
        return self._board.should_stop(step, over_budget=self.tracker.over_budget)

    # --- its segments ----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the training so far as plain types, to be kept in a checkpoint; {} if there is none."""
        with self.guard():
            segments = self.tracker.segments
            return state_of(segments) if segments else {}
        return {}

    def restore(self, state: Any) -> None:
        """Take what a checkpoint holds: for the run that begins next, or for the current one."""
        with self.guard():
            try:
                segments = segments_of(state)
            except ValueError as error:
                self.tracker.warn(f"the checkpoint's state is invalid: {error}")
                return
            if self.running:
                self.tracker.continue_from(segments)
            else:
                self._restored = segments

    def continue_last(self, trial: str | None = None) -> None:
        """Have the current run continue the latest training of its project in its directory.

        Args:
            trial: Only one of this trial; without it, one outside of any that did not end by itself.
        """
        self.tracker.continue_last(trial)

    def forget_restored(self) -> None:
        """Drop what was restored: it does not concern what begins next."""
        self._restored = ()

    # --- within it -------------------------------------------------------------------------------

    def _own_totals(self, max_age_s: float = 0.0) -> RankTotals:
        report = self.tracker.report(max_age_s=max_age_s) if self.running else None
        return self._state.own_totals(report)

    def _together(self, own: RankTotals, at: str = "") -> RankTotals:
        """Return the totals of all ranks, as far as they are known; note them for the receipt."""
        self._board.exchange(own, at)
        together = self._state.together(own, self._board.others)
        others = [one.own for one in self._state.others if one.own is not None]
        if others:
            self.tracker.note_others(others)
        return together

    def _agreed(self, at: str, figures: Figures) -> Figures:
        """Return what all ranks log, which never falls."""
        if not self._board.several:
            return figures
        figures = never_less(self._board.agreed(at, figures) if at else figures, self._logged)
        self._logged |= figures
        return figures

    def _drain(self) -> None:
        if self.tracker.sync:
            drain_devices()

    def _closed(self, window: OpenWindow) -> Figures:
        """Close a window, once the devices have done what was requested of them."""
        self._drain()
        window.close()
        return figures_of(window.report())

    def __getstate__(self) -> dict[str, Any]:
        fresh = {"_state": TrainingState(), "_board": RankBoard(), "_logged": {}, "_restored": ()}
        return {**self.__dict__, **fresh}
