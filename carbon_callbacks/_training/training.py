"""A training: the life cycle that an adapter reports, and the metrics that it logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from carbon_callbacks._training.improvement import ImprovementRule
from carbon_callbacks._training.lifecycle import Lifecycle
from carbon_callbacks._training.metrics import Topic
from carbon_callbacks._training.rank_sync import RankSync
from carbon_callbacks._training.selection import Selection
from carbon_callbacks._training.state import UNKNOWN_PROGRESS, TrainingState
from carbon_callbacks._training.totals import Figures, Progress

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_core import OpenWindow, SettingArguments

# Many logs a second share a reading of the meters.
_MAX_AGE_S = 0.1


class Training(Lifecycle):
    """Measures trainings, one after the other; an adapter calls it from the hooks of its framework.

    Attributes:
        selection: The metrics that are logged.
        improvement_of: The metric whose improvement is compared with the energy, or None.

    Args:
        name: Distinguishes this callback from others in checkpoints, and on other ranks; the project's
            name by default.
        forecast: Whether to forecast the energy of the whole training.
        sync: Whether to wait for the accelerator's queue where a phase ends.
        improvement_of: A metric, such as ``val_loss``: the energy for each unit by which it has improved
            is logged.
        improvement_mode: Whether less of it (``min``) or more (``max``) is better.
        min_improvement_per_kwh: Least improvement of that metric for each kWh, in its own unit; None for
            no bound.
        patience: Number of evaluations over which that improvement is measured.
        on_low_improvement: Whether a smaller one logs a warning (``warn``) or also ends the training
            (``stop``).
        **overrides: Settings, as for `carbon_callbacks.EmissionsTracker`.

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
        min_improvement_per_kwh: float | None = None,
        patience: int = 3,
        on_low_improvement: str = "warn",
        **overrides: Unpack[SettingArguments],
    ) -> None:
        rule = ImprovementRule(
            improvement_of, improvement_mode, min_improvement_per_kwh, patience, on_low_improvement
        )
        super().__init__(name, sync=sync, improvement=rule, **overrides)
        settings = self.tracker.settings
        self.selection = Selection(settings.log_metrics, progress_bar=settings.progress_bar)
        self.improvement_of = improvement_of
        self._forecasts = forecast

    # --- what is logged --------------------------------------------------------------------------

    def metric_names(self, without: Sequence[Topic] = ()) -> list[str]:
        """Return the names of all metrics that `metrics` may return.

        Args:
            without: Topics of which the framework has no data.
        """
        unknown = set(without)
        if not self._forecasts:
            unknown |= {"forecast", "early stopping"}
        if not self.improvement_of:
            unknown.add("improvement")
        return self.selection.names(unknown)

    def metrics(
        self,
        progress: Progress = UNKNOWN_PROGRESS,
        at: str = "",
        *,
        within_epoch: bool = False,
        summary: bool = False,
    ) -> Figures:
        """Return every metric so far, combined over the ranks, by name.

        Args:
            progress: Progress of the training.
            at: Which log this is, the same on all ranks; an empty string for none.
            within_epoch: Whether there may be many such logs, for which a recent reading is enough.
            summary: Whether to add the energy of each phase.
        """
        with self.guard():
            if progress is not UNKNOWN_PROGRESS:
                self._state.progress = progress
                self.tracker.note_work(self._state.work(), self._state.dataset_samples())
            ranks = self._ranks.totals(at, max_age_s=_MAX_AGE_S if within_epoch else 0.0)
            figures = self._state.metrics(ranks, forecast=self._forecasts)
            self._deliver_improvement()
            if summary:
                figures = {**figures, **ranks.phases}
            return self._ranks.agreed(at, figures)
        return {}

    def resume_epoch(self, fraction: float | None = None) -> None:
        """Begin with the rest of an epoch, whether or not its begin was noted.

        Args:
            fraction: Part of the whole training (0 to 1) that was done before.
        """
        with self.guard():
            self._state.trained = None
        self.epoch_begin(fraction)

    def note_step(self, step: int, fraction: float | None) -> None:
        """Note the progress of the training after a step; between logs, the forecast uses it.

        Most steps cost a comparison, which an adapter that must compute the fraction makes itself.

        Args:
            step: Steps since the run began.
            fraction: Part of the whole training (0 to 1) that is done; None where that is unknown.
        """
        self.steps.count = step
        if step < self.steps.due or not self.running:
            return
        if step == 1 and fraction != 1.0:
            with self.guard():
                self._state.first_step_done(self.tracker, fraction)
        elif fraction is not None:
            with self.guard():
                self.steps.note(step, fraction, self.tracker.window)

    def window_metrics(self, window: OpenWindow, prefix: str, at: str) -> Figures:
        """Close a window and return its metrics, combined over the ranks.

        Args:
            window: A window of the tracker.
            prefix: Is put before the metrics' names.
            at: Which log this is, the same on all ranks.
        """
        with self.guard():
            self._close_window(window)
            self._state.note_window(window, prefix)
            ranks = self._ranks.totals(at, max_age_s=_MAX_AGE_S)
            # The evaluation may have a new value of `improvement_of`, which belongs to the energy now.
            self._state.improvement.energy_per_unit_kwh(ranks.totals.get("energy_kwh"))
            self._deliver_improvement()
            figures = self._state.of_evaluation(prefix)
            names = {prefix + name for name in self.selection.names(())}
            return self._ranks.agreed(at, {key: figures[key] for key in figures if key in names})
        return {}

    def final_metrics(self) -> Figures:
        """Return the metrics of the latest finished run that are logged, combined over the ranks."""
        with self.guard():
            return self.selection.at_end(self._state.final_metrics(self.report))
        return {}

    def improve(self, metrics: Mapping[str, Any] | None) -> None:
        """Note the metrics of a log entry; with that of ``improvement_of``, it is an evaluation.

        The energy up to it is that of the next call of `metrics`.
        """
        if not metrics:
            return
        with self.guard():
            self._state.logged.note(metrics)
            if self.improvement_of and self.improvement_of in metrics:
                self._state.improvement.note(metrics[self.improvement_of])

    def settle_ranks(self, at: str) -> None:
        """Exchange totals with the other ranks at a point that all reach; waits a short time.

        Args:
            at: Which point this is.
        """
        with self.guard():
            self._ranks.settle(at)

    # --- its end ---------------------------------------------------------------------------------

    def should_stop(self, step: int = 0) -> bool:
        """Return whether the training should end; cheap enough to be called at every step.

        It should when the budget is exceeded, or the metric improves less than
        ``min_improvement_per_kwh``.

        Args:
            step: Steps since the run began; several ranks stop at the same one.
        """
        if not self.may_stop:
            return False
        wanted = self._state.improvement.is_too_low or (
            self._budget_stops and self.tracker.over_budget
        )
        return self._ranks.should_stop(step, wanted=wanted)

    # --- its checkpoints -------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return the training so far as plain types for a checkpoint; {} if there is none."""
        from carbon_core import state_of

        with self.guard():
            segments = self.tracker.segments
            if not segments:
                return {}
            improvement = self._state.improvement.state(self._energy_kwh())
            more = {"improvement": improvement} if improvement else {}
            return {**state_of(segments), **more}
        return {}

    def _energy_kwh(self) -> float | None:
        """Return the energy of all ranks so far; None if it is unknown, or no bound needs it."""
        if self._improvement_rule.least_per_kwh is None or not self.running:
            return None
        return self._ranks.totals(max_age_s=_MAX_AGE_S).totals.get("energy_kwh")

    def restore(self, state: Any) -> None:
        """Take the state of a checkpoint: for the run that begins next, or for the current one."""
        from carbon_core import segments_of

        with self.guard():
            try:
                segments = segments_of(state)
            except ValueError as error:
                self.tracker.warn(f"the checkpoint's state is invalid: {error}")
                return
            improvement = state.get("improvement")
            if self.running:
                self.tracker.continue_from(segments)
                self._state.improvement.resume(improvement)
            else:
                self._restored, self._restored_improvement = segments, improvement

    def forget_restored(self) -> None:
        """Drop what was restored: it does not belong to what begins next."""
        self._restored, self._restored_improvement = (), None

    def continue_last(self, trial: str | None = None) -> None:
        """Have the current run continue the latest training of its project in its directory.

        Args:
            trial: Only one of this trial; without it, one outside of any that did not complete.
        """
        self.tracker.continue_last(trial)

    def __getstate__(self) -> dict[str, Any]:
        state = TrainingState()
        ranks = RankSync(self.tracker, state)
        fresh = {"_state": state, "_ranks": ranks, "steps": state.forecast.steps}
        return {**self.__dict__, **fresh, "_restored": (), "_restored_improvement": None}
