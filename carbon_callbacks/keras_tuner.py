"""`EmissionsCallback` for KerasTuner: ``with EmissionsCallback(): tuner.search(...)``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from carbon_callbacks._searches import SearchCallback, attributes_of_trial, id_in
from carbon_callbacks.training import wrap_method

if TYPE_CHECKING:
    from carbon_callbacks.studies import Study

try:
    from keras_tuner.engine.base_tuner import BaseTuner
except (ImportError, ValueError) as error:
    from carbon_callbacks._missing import keras_problem

    raise ImportError(keras_problem(__name__, error)) from error

__all__ = ["EmissionsCallback"]

# The callbacks that measure tuners which are searching now.
_measuring: dict[Any, EmissionsCallback] = {}


class _BudgetSpent(Exception):  # noqa: N818 - no error
    """Leaves the loop of a search, which has no other way out before its last trial."""


def _search(search: Any, tuner: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Measure a search within the block of a callback."""
    callback = EmissionsCallback.of_search()
    if callback is None or tuner in _measuring:
        return search(tuner, *args, **kwargs)
    for name, around in (("on_trial_begin", _begin_trial), ("on_trial_end", _end_trial)):
        wrap_method(type(tuner), name, around)
    with callback.searching(tuner):
        _measuring[tuner] = callback
        try:
            callback.check(tuner)
            return search(tuner, *args, **kwargs)
        except _BudgetSpent:
            return tuner.on_search_end()
        finally:
            del _measuring[tuner]


def _begin_trial(begin: Any, tuner: Any, /, trial: Any) -> Any:
    if (callback := _measuring.get(tuner)) is not None:
        callback.begin(tuner, trial)
    return begin(tuner, trial)


def _end_trial(end: Any, tuner: Any, /, trial: Any) -> Any:
    callback = _measuring.get(tuner)
    is_outermost = callback is not None and callback.finish(tuner, trial)
    result = end(tuner, trial)
    if callback is not None and is_outermost:
        callback.check(tuner)
    return result


wrap_method(BaseTuner, "search", _search)


class EmissionsCallback(SearchCallback):
    """Measures searches of KerasTuner in a ``with`` block, and stores the energy of each trial with it.

    Trials get the metrics ``carbon:energy_kwh``, ``carbon:energy_low_kwh``, ``carbon:energy_high_kwh``
    and ``carbon:emissions_kg``. A search that is resumed from its project directory continues its
    totals, and so do several workers on one machine, with the same ``output_dir``.
    """

    def check(self, tuner: Any) -> None:
        """Leave the search if the budget of its study is spent."""
        self._study_of(tuner)
        if self.must_stop(tuner):
            raise _BudgetSpent

    def begin(self, tuner: Any, trial: Any) -> None:
        """Begin a trial, or another attempt of it."""
        study, name = self._study_of(tuner), self.trial_id(_study_id(tuner), trial.trial_id)
        self.begin_trial(study, name, trial.hyperparameters.values)

    def finish(self, tuner: Any, trial: Any) -> bool:
        """End a trial and store its energy; return whether it was open."""
        study, name = self._study_of(tuner), self.trial_id(_study_id(tuner), trial.trial_id)
        value, chosen = _value_of(tuner.oracle, trial), trial.hyperparameters.values
        if trial.status != "COMPLETED" or (value is not None and math.isnan(value)):
            result = self.end_trial(study, name, chosen, "failed")
        else:
            result = self.end_trial(study, name, chosen, "completed", value)
        if result is None:
            return False
        with self.guard():
            # With workers in several processes, this one has no trials to write to.
            metrics = tuner.oracle.get_trial(trial.trial_id).metrics
            for key, figure in attributes_of_trial(result).items():
                if not metrics.exists(key):
                    metrics.register(key, direction="max")  # the sum of its attempts
                before = metrics.get_best_value(key) or 0.0
                metrics.update(key, before + figure, step=len(metrics.get_history(key)))
        return True

    def _study_of(self, tuner: Any) -> Study:
        is_max = getattr(tuner.oracle.objective, "direction", "min") == "max"
        return self.study(tuner, _study_id(tuner), "maximize" if is_max else "minimize")


def _value_of(oracle: Any, trial: Any) -> float | None:
    """Return the best value of a trial; None without one."""
    metrics, name = oracle.get_trial(trial.trial_id).metrics, oracle.objective.name
    value = metrics.get_best_value(name) if metrics.exists(name) else None
    return None if value is None else float(value)


def _study_id(tuner: Any) -> str:
    return id_in(tuner.project_dir, tuner.project_name)
