"""`EmissionsCallback` for Ray Tune: ``RunConfig(callbacks=[EmissionsCallback()])``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from carbon_callbacks._searches import SearchCallback, metrics_of_trial
from carbon_core import ConfigError, with_settings

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carbon_callbacks.studies import Study
    from carbon_core import SettingArguments

try:
    from ray.tune import Callback
    from ray.tune.utils import flatten_dict
except ImportError as error:
    from carbon_callbacks._missing import import_problem

    raise ImportError(import_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]


@with_settings()
class EmissionsCallback(SearchCallback, Callback):
    """Measures the trials of an experiment of Ray Tune, from the process that calls `Tuner.fit`.

    Trials that run at once have equal shares of the machine of that process. Each result has the totals
    of its trial so far: ``carbon:energy_kwh``, its low and high ends, and ``carbon:emissions_kg``. A
    callback of Ray cannot end an experiment: a budget only warns.

    Args:
        metric: The metric that the search optimises, as in `TuneConfig`.
        mode: As there: ``min`` or ``max``.
        max_t: The iterations of a whole trial, as given to the scheduler. A trial that a scheduler or a
            stopper ends before is pruned; without it, every one that they end.
        **settings: Settings of `carbon_callbacks.EmissionsTracker`.

    Raises:
        ConfigError: An argument is wrong.
    """

    def __init__(
        self,
        *,
        metric: str | None = None,
        mode: str = "min",
        max_t: int | None = None,
        **settings: Unpack[SettingArguments],
    ) -> None:
        if mode not in ("min", "max"):
            raise ConfigError(f"mode must be 'min' or 'max', got {mode!r}")
        super().__init__(**settings)
        self._metric = metric
        self._limits = {} if max_t is None else {"training_iteration": max_t}
        self._direction = "maximize" if mode == "max" else "minimize"
        self._id = ""
        self._stopped: set[str] = set()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        if trials:  # their processes start meanwhile
            self._study_of(trials[0])

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._stopped.discard(trial.trial_id)
        study = self._study_of(trial)
        self.begin_trial(study, self.trial_id(self._id, trial.trial_id), trial.config)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        with self.guard():
            one = self.open_trial(self._id, self.trial_id(self._id, trial.trial_id))
            result.update(metrics_of_trial(one.result) if one is not None else {})
            if result.get("done") and not self._is_whole(trial, flatten_dict(result)):
                self._stopped.add(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(trial, "pruned" if trial.trial_id in self._stopped else "completed")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._end(trial, "failed")

    on_trial_recover = on_trial_error  # of one attempt: another one begins

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        for trial in trials:
            if trial.status == "PAUSED":  # it may be continued, and has then another status
                self._end(trial, "pruned")

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        if not self.in_block:
            self.end(self._id)
        self._id = ""  # a later experiment is another study

    def get_state(self) -> dict[str, Any]:
        return {"study_id": self._id}

    def set_state(self, state: dict[str, Any]) -> None:
        self._id = state["study_id"]

    def _end(self, trial: Any, status: str) -> None:
        name = self.trial_id(self._id, trial.trial_id)
        if self.open_trial(self._id, name) is not None:
            value = flatten_dict(trial.last_result or {}).get(self._metric)
            best = value if status == "completed" else None
            self.end_trial(self._study_of(trial), name, trial.config, status, best)

    def _study_of(self, trial: Any) -> Study:
        self._id = self._id or f"{trial.experiment_dir_name}-{uuid4().hex[:8]}"
        return self.study(self._id, self._id, self._direction)

    def _is_whole(self, trial: Any, result: dict[str, Any]) -> bool:
        """Return whether a trial that was stopped after a result has reached its end."""
        limits = {**trial.stopping_criterion, **self._limits}
        return any(result.get(name, float("-inf")) >= limit for name, limit in limits.items())
